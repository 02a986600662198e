"""The consumers: records of the topics become rows of the online store and lines of the offline log.

client        connection options of the cluster
topics        create and look at the topics
producers     write records
records       what is read, and what it means
decoding      bytes → events; what cannot be used is a `BadRecord`
partitions    the member of a consumer group: assignment, positions, commits
checkpoints   up to where the online rows are; where to start; whether the store was lost
spaces        the deployment document in force and the towers of its spaces
loop          poll → handle → checkpoint → flush → commit, the same for both consumers
handler       what the loop asks of a consumer
item_embedder, user_updater   the two consumers
user_rows, user_vectors       rows merged with what a batch says; vectors of histories, a space at a time
contents      content vectors of items, streamed ones first
offline_buffer, dead_letters  what waits for a flush
metrics, health               for people and machines who watch
consumer      wiring of the above
refresh       updates that come from outside: of stale users, nightly, after a restore
"""
