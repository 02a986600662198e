"""What probes and Prometheus see of a running consumer."""

import http.client

from learn_features.services.process import free_port
from learn_features.streaming import metrics as module
from learn_features.streaming.consumer import run_user_updater
from learn_features.streaming.metrics import StreamMetrics
from learn_features.streaming.producers import Producer
from tests.streaming.world import interaction, running, wait_for


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def value(text, name):
    """The sample of a metric; 0 before its first."""
    starts = (f"learn_features_{name} ", f"learn_features_{name}{{")
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(starts))


def test_metrics_health_and_readiness(make_world, bundles):
    world = make_world()
    world.deploy(bundles[0])
    port = free_port()
    service = world.config.service.model_copy(update={"metrics_port": port})
    config = world.config.model_copy(update={"service": service})
    topic = config.kafka.topic("interactions")
    with running(run_user_updater, config), Producer(config) as producer:
        wait_for(lambda: get(port, "/readyz")[0] == 200)
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/nothing")[0] == 404
        for number in range(3):
            producer.interaction(interaction("u", "i", number))
        producer.raw(topic, b"u", b"{")
        producer.flush()
        wait_for(lambda: value(get(port, "/metrics")[1], "dead_letters_total") == 1)
        wait_for(lambda: 'dataset="interactions"' in get(port, "/metrics")[1], what="a flush")
        text = get(port, "/metrics")[1]
    assert value(text, "records_total") == 3
    assert 'offline_rows_total{dataset="interactions"} 3.0' in text
    assert value(text, "owned_partitions") == 4
    assert value(text, "document_version") == 1
    assert value(text, "freshness_seconds_count") >= 1


def test_every_metric_is_in_the_commented_list_and_only_those():
    listed = {
        line.split()[0].removesuffix("_total")
        for line in module.__doc__.splitlines()
        if line.startswith("  ")
    }
    made = {metric.name.removeprefix("learn_features_") for metric in StreamMetrics().registry.collect()}
    assert made == listed
