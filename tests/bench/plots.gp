# SPDX-License-Identifier: BSD-3-Clause
#
# One sweep as a plot: gnuplot -e "row='size'; data='FILE'; output_file='FILE'" plots.gp
# The data are what write_plot of report.awk writes; columns: x, stock, io_uring, readiness, libev, raw epoll, raw io_uring.

if (!exists("terminal_is")) terminal_is = "svg"
if (terminal_is eq "svg") set terminal svg size 860,560 dynamic font "Helvetica,15" background "white"; \
else set terminal pngcairo size 860,560 font "Helvetica,11" background "white"
set output output_file
set datafile missing "-"
set key top left reverse Left samplen 3
set grid xtics ytics linecolor rgb "#dddddd"
set border 3
set tics nomirror
set ylabel "server CPU a request, µs"
set format y "%g"

if (row eq "conns") {
	set title "Echo of 64 B: cost against connections"
	set xlabel "connections, all active"
	set logscale x
	set xtics ("1" 1, "8" 8, "64" 64, "256" 256, "1,000" 1000, "5,000" 5000, "15,000" 15000)
	set key top right
	set logscale y 2
	set yrange [2:*]
	set xrange [1:20000]
}
if (row eq "size") {
	set title "Echo: cost against message size"
	set xlabel "bytes a message (64 connections; 4 from 64 KiB up)"
	set logscale xy
	set xrange [1:1500000]
	set xtics ("1" 1, "8" 8, "64" 64, "512" 512, "4 Ki" 4096, "16 Ki" 16384, "64 Ki" 65536, "256 Ki" 262144, "1 Mi" 1048576)
}
if (row eq "depth") {
	set title "Echo of 64 B, 64 connections: cost against depth"
	set xlabel "requests in flight on each connection"
	set logscale x 2
	set logscale y
	set key top right
}

set style line 1 linecolor rgb "#d55e00" linewidth 2.5 pointtype 7 pointsize 0.7
set style line 2 linecolor rgb "#0072b2" linewidth 2.5 pointtype 7 pointsize 0.7
set style line 3 linecolor rgb "#56b4e9" linewidth 2.5 pointtype 7 pointsize 0.7
set style line 4 linecolor rgb "#777777" linewidth 1.5 dashtype 2 pointtype 6 pointsize 0.6
set style line 5 linecolor rgb "#000000" linewidth 1.5 dashtype 3 pointtype 4 pointsize 0.6

plot data using 1:2 title "stock libevent" with linespoints linestyle 1, \
	data using 1:4 title "this library, readiness ring" with linespoints linestyle 3, \
	data using 1:3 title "this library, io\\_uring" with linespoints linestyle 2, \
	data using 1:6 title "raw epoll" with linespoints linestyle 4, \
	data using 1:7 title "raw io\\_uring" with linespoints linestyle 5
