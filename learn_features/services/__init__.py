"""A local Kafka broker and a local Redis for demo, play and tests; production brings its own.

jars         Java from a wheel, Kafka's jars fetched once into the project's folder
supervisor   the process between a service and whoever started it: both end together
process      start a service under a supervisor, wait until it answers, stop it
kafka        one KRaft node
redis        one Redis
play         a demo's world left running: both, and the consumers
"""
