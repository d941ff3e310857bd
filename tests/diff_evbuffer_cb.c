/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The callbacks of evbuffers: order, counts, flags, changes inside them, and their deferral to the
 * loop.
 */
#include "diff_buf.h"

static struct event_base *base;

static void callbacks_come_newest_first(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_cb_entry *middle;
	char out[8];

	listen_to(b, "oldest");
	middle = listen_to(b, "middle");
	listen_to(b, "newest");
	add_text(b, "12345");
	say("remove 2");
	evbuffer_remove(b, out, 2);
	say("add nothing, drain nothing");
	evbuffer_add(b, "", 0);
	evbuffer_drain(b, 0);
	say("disable: %d", evbuffer_cb_clear_flags(b, middle, EVBUFFER_CB_ENABLED));
	add_text(b, "6");
	say("enable: %d", evbuffer_cb_set_flags(b, middle, EVBUFFER_CB_ENABLED));
	say("high bits: %d", evbuffer_cb_set_flags(b, middle, 0xffff0000));
	add_text(b, "7");
	say("remove entry: %d", evbuffer_remove_cb_entry(b, middle));
	evbuffer_add_printf(b, "%s", "890");
	say("remove by name: %d", evbuffer_remove_cb(b, change_cb, (void *)(uintptr_t) "none"));
	evbuffer_free(b);
}

static void finding_an_entry(void)
{
	static char x[] = "x", y[] = "y";
	struct evbuffer *b = new_buf();

	evbuffer_add_cb(b, change_cb, x);
	evbuffer_add_cb(b, change_cb, y);
	evbuffer_add_cb(b, change_cb, x);
	add_text(b, "1");
	say("remove x: %d", evbuffer_remove_cb(b, change_cb, x));
	add_text(b, "2");
	say("remove x: %d", evbuffer_remove_cb(b, change_cb, x));
	say("remove x: %d", evbuffer_remove_cb(b, change_cb, x));
	add_text(b, "3");
	say("remove y: %d", evbuffer_remove_cb(b, change_cb, y));
	add_text(b, "4");
	evbuffer_add_cb(b, change_cb, x);
	say("unseen changes are forgotten");
	add_text(b, "5");
	evbuffer_free(b);
}

static void old_cb(struct evbuffer *b, size_t was, size_t is, void *name)
{
	say("%s: was %zu, is %zu, is really %zu", (const char *)name, was, is,
	    evbuffer_get_length(b));
}

static void the_obsolete_callback_is_alone(void)
{
	struct evbuffer *b = new_buf();

	listen_to(b, "new style");
	add_text(b, "1");
	say("setcb: %d", evbuffer_setcb(b, old_cb, "old style"));
	add_text(b, "234");
	evbuffer_drain(b, 2);
	listen_to(b, "new style");
	add_text(b, "5");
	say("setcb: %d", evbuffer_setcb(b, old_cb, "second"));
	evbuffer_drain(b, 2);
	say("setcb NULL: %d", evbuffer_setcb(b, NULL, NULL));
	evbuffer_drain(b, 2);
	evbuffer_free(b);
}

static void nested_cb(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	change_cb(b, info, "nested");
	(void)arg;
	if (evbuffer_get_length(b) < 5) {
		say("adds one more {");
		evbuffer_add(b, "n", 1);
		say("}");
	}
	if (info->n_added == 3)
		evbuffer_drain(b, 2);
}

static void changes_inside_callbacks(void)
{
	struct evbuffer *b = new_buf();

	listen_to(b, "before");
	evbuffer_add_cb(b, nested_cb, NULL);
	listen_to(b, "behind");
	evbuffer_add(b, "123", 3);
	show("b", b);
	evbuffer_free(b);
}

static struct evbuffer_cb_entry *own_entry;

static void once_cb(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	change_cb(b, info, arg);
	say("removes itself: %d", evbuffer_remove_cb_entry(b, own_entry));
}

static void entries_may_remove_themselves(void)
{
	struct evbuffer *b = new_buf();

	listen_to(b, "old");
	own_entry = evbuffer_add_cb(b, once_cb, "once");
	listen_to(b, "new");
	add_text(b, "12");
	add_text(b, "34");
	evbuffer_free(b);
}

static void both_sides_of_a_move(void)
{
	NEW_PIECES(from, "abc", "def", "ghi");
	struct evbuffer *to = new_buf();

	listen_to(from, "from");
	listen_to(to, "to");
	say("4");
	evbuffer_remove_buffer(from, to, 4);
	say("2");
	evbuffer_remove_buffer(from, to, 2);
	say("the rest by part");
	evbuffer_remove_buffer(from, to, 3);
	say("back");
	evbuffer_add_buffer(from, to);
	say("forth, before");
	evbuffer_prepend_buffer(to, from);
	say("nothing");
	evbuffer_add_buffer(to, from);
	say("line");
	add_text(to, "\n\r\n");
	free(evbuffer_readln(to, NULL, EVBUFFER_EOL_CRLF));
	free(evbuffer_readln(to, NULL, EVBUFFER_EOL_CRLF));
	say("prepend");
	evbuffer_prepend(to, "pre", 3);
	say("reference");
	add_ref(to, "ref");
	add_ref(to, "");
	show("to", to);
	evbuffer_free(from);
	evbuffer_free(to);
}

static void deferred_callbacks_wait(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_cb_entry *now;

	base = new_base();
	listen_to(b, "later");
	say("defer: %d", evbuffer_defer_callbacks(b, base));
	add_text(b, "12345");
	evbuffer_drain(b, 2);
	passes(base, 2);
	now = listen_to(b, "at once");
	evbuffer_cb_set_flags(b, now, 2);
	add_text(b, "6");
	evbuffer_drain(b, 1);
	say("loop: %d", event_base_loop(base, EVLOOP_ONCE));
	evbuffer_drain(b, 1);
	evbuffer_cb_clear_flags(b, now, 2);
	say("loop: %d", event_base_loop(base, 0));
	evbuffer_free(b);
}

static void only_callbacks_that_do_not_wait(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_cb_entry *now = listen_to(b, "at once");

	base = new_base();
	evbuffer_defer_callbacks(b, base);
	evbuffer_cb_set_flags(b, now, 2);
	add_text(b, "1");
	add_text(b, "2");
	say("loop: %d", event_base_loop(base, 0));
	add_text(b, "3");
	evbuffer_free(b);
}

static void freed_before_its_callbacks(void)
{
	struct evbuffer *b = new_buf();

	base = new_base();
	listen_to(b, "later");
	evbuffer_defer_callbacks(b, base);
	add_ref(b, "text");
	say("free");
	evbuffer_free(b);
	say("loop: %d", event_base_loop(base, 0));
}

static void removed_before_it_ran(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_cb_entry *entry = listen_to(b, "later");

	base = new_base();
	evbuffer_defer_callbacks(b, base);
	add_text(b, "1");
	evbuffer_remove_cb_entry(b, entry);
	say("loop: %d", event_base_loop(base, 0));
	listen_to(b, "newer");
	say("loop: %d", event_base_loop(base, 0));
	add_text(b, "2");
	say("loop: %d", event_base_loop(base, 0));
	evbuffer_free(b);
}

static void refill_cb(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	change_cb(b, info, arg);
	if (evbuffer_get_length(b) < 4)
		add_text(b, "+");
}

static void deferred_callbacks_that_change_the_buffer(void)
{
	struct evbuffer *b = new_buf();

	base = new_base();
	evbuffer_add_cb(b, refill_cb, "refill");
	evbuffer_defer_callbacks(b, base);
	add_text(b, "1");
	say("loop: %d", event_base_loop(base, 0));
	show("b", b);
	evbuffer_free(b);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(callbacks_come_newest_first),
    DIFF_SCENARIO(finding_an_entry),
    DIFF_SCENARIO(the_obsolete_callback_is_alone),
    DIFF_SCENARIO(changes_inside_callbacks),
    DIFF_SCENARIO(entries_may_remove_themselves),
    DIFF_SCENARIO(both_sides_of_a_move),
    DIFF_SCENARIO(deferred_callbacks_wait),
    DIFF_SCENARIO(only_callbacks_that_do_not_wait),
    DIFF_SCENARIO(freed_before_its_callbacks),
    DIFF_SCENARIO(removed_before_it_ran),
    DIFF_SCENARIO(deferred_callbacks_that_change_the_buffer),
};

DIFF_MAIN(scenarios)
