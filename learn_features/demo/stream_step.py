"""Step 4: consumers run; uploads, clicks and a SIGKILL, each measured through Feast."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from learn_features.contracts import columns as c
from learn_features.contracts import names
from learn_features.contracts.events import InteractionRecord, ItemRecord
from learn_features.demo import taste
from learn_features.demo.clicks import click
from learn_features.demo.console import Step
from learn_features.demo.consumers import KINDS, Consumers
from learn_features.demo.context import Context
from learn_features.demo.freshness import Freshness
from learn_features.demo.ledger import Ledger
from learn_features.features.row_store import RowStore
from learn_features.streaming.producers import Producer

EVENTS_A_SECOND = 300.0
_NEW_USER_SHARE = 0.05
_COMPLETE_WITHIN_SECONDS = 90.0


def stream(context: Context, consumers: Consumers) -> None:
    """Run the scene; sets freshness, stream figures, top-10 lists, and the ledger of sent events."""
    from learn_features.features.feast_store import open_feature_store
    from learn_features.features.rows import open_row_store
    from learn_features.streaming.topics import create_topics

    config, space_id = context.config, context.spaces[0]
    with context.step(4, "Stream (Kafka, two consumers)", "stream") as step:
        step.progress("consumers start", 0, 0)
        create_topics(config)
        with ThreadPoolExecutor(len(KINDS)) as pool:
            list(pool.map(consumers.start, KINDS))
        store = open_feature_store(config)
        freshness = Freshness(store, space_id, config.history.id)
        rows = open_row_store(config)
        context.stack.callback(rows.close)
        context.ledger = Ledger(context.dataset.interactions)
        producer = context.stack.enter_context(Producer(config))
        _upload(context, step, producer, freshness)
        _click(context, step, producer, freshness)
        taste.three_clicks(context, step, producer, freshness)
        _kill_and_restart(context, step, producer, consumers, rows)


def _upload(context: Context, step: Step, producer: Producer, freshness: Freshness) -> None:
    seconds = context.story.item_seconds
    for number in range(context.options.uploads):
        step.progress("upload", number + 1, context.options.uploads)
        record = _new_item(context, number)
        begin = time.monotonic()
        producer.item(record)
        producer.flush()
        seconds.append(freshness.wait_for_item(record.item_id, begin))
        context.uploaded.append(record)
    context.summary.freshness["item_seconds"] = round(max(seconds), 3)
    context.summary.freshness["item_seconds_median"] = round(float(np.median(seconds)), 3)
    first = context.uploaded[0]
    step.note(
        f"{len(seconds)} new items uploaded, the first “{first.title}”: embedding readable through Feast "
        f"after {np.median(seconds):.2f} s (median), {max(seconds):.2f} s at most"
    )


def _new_item(context: Context, number: int) -> ItemRecord:
    """A fresh item of the simulated world, or a variant of one of the catalogue's."""
    if context.world is not None:
        names_of = context.world.subcategories
        return context.world.new_item(names_of[(7 * number) % len(names_of)], seed=10_000 + number)
    items = context.dataset.items
    model = items.row((number * 37) % items.height, named=True)
    text = {name: model[name] for name in c.ITEM_TEXT_COLUMNS if model[name] is not None}
    return ItemRecord(**{**text, c.ITEM_ID: f"new-{number}", c.TITLE: f"{model[c.TITLE]}, new edition"})


def _click(context: Context, step: Step, producer: Producer, freshness: Freshness) -> None:
    """One click each of several users, measured until the changed vector is readable."""
    random = np.random.default_rng(context.options.seed)
    log = context.dataset.interactions
    users = random.choice(log[c.USER_ID].unique().sort().to_numpy(), context.options.uploads, replace=False)
    items = random.choice(context.dataset.items[c.ITEM_ID].to_numpy(), len(users))
    seconds = context.story.user_seconds
    for user_id, item_id in zip(users.tolist(), items.tolist(), strict=True):
        step.progress("click", len(seconds) + 1, len(users))
        record = click(context.config.history, user_id, item_id)
        before = freshness.user_vector(user_id)
        begin = time.monotonic()
        producer.interaction(record)
        producer.flush()
        seconds.append(freshness.wait_for_user(user_id, {record.identified}, before, begin))
        context.ledger.add([record])
    context.summary.freshness["user_seconds"] = round(max(seconds), 3)
    context.summary.freshness["user_seconds_median"] = round(float(np.median(seconds)), 3)
    step.note(
        f"{len(seconds)} users clicked: changed embedding readable through Feast after "
        f"{np.median(seconds):.2f} s (median), {max(seconds):.2f} s at most"
    )


def _kill_and_restart(
    context: Context, step: Step, producer: Producer, consumers: Consumers, rows: RowStore
) -> None:
    """SIGKILL the consumer of interactions while events flow; count what is missing in the end."""
    events = _events(context, context.options.flowing_events)
    sent = 0

    def send() -> None:
        nonlocal sent
        begin = time.monotonic()
        for record in events:
            producer.interaction(record)
            sent += 1
            time.sleep(max(0.0, begin + sent / EVENTS_A_SECOND - time.monotonic()))
        producer.flush()

    sender = threading.Thread(target=send)
    sender.start()
    for share, act in ((0.3, consumers.kill), (0.5, consumers.start)):
        while sent < share * len(events) and sender.is_alive():
            step.progress("events", sent, len(events))
            time.sleep(0.05)
        act("interactions")
    sender.join()
    context.ledger.add(events)
    step.progress("last events arrive", 0, 0)
    lost = context.ledger.wait_until_complete(rows, context.config.history, _COMPLETE_WITHIN_SECONDS)
    total = len(context.ledger.sent)
    context.summary.stream = {"events": total, "lost": lost, "dead_letters": dead_letters(context)}
    step.note(
        f"{len(events):,} events while the consumer was killed (SIGKILL) and started again: "
        f"lost {lost} of {total:,} sent, dead letters {context.summary.stream['dead_letters']}"
    )


def dead_letters(context: Context) -> int:
    """Records in the dead-letter topics of items and interactions."""
    from learn_features.streaming.dead_letters import read_dead_letters

    topics = (names.TOPIC_ITEMS, names.TOPIC_INTERACTIONS)
    return sum(1 for topic in topics for _ in read_dead_letters(context.config, topic))


def _events(context: Context, count: int) -> list[InteractionRecord]:
    """Clicks of random users, some of them new, on items as popular as in the log."""
    random = np.random.default_rng([context.options.seed, 4])
    log = context.dataset.interactions
    known = set(context.dataset.items[c.ITEM_ID].to_list())
    users = log[c.USER_ID].unique().sort().to_numpy()
    items = [
        item for item in log[c.ITEM_ID].gather(random.integers(0, log.height, 2 * count)) if item in known
    ]
    rule, now = context.config.history, time.time_ns() // 1_000
    return [
        click(
            rule,
            f"new-user-{number % 40}" if random.random() < _NEW_USER_SHARE else str(random.choice(users)),
            items[number % len(items)],
            now + number,
        )
        for number in range(count)
    ]
