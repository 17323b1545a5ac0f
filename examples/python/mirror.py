"""Keeps the channels of all users in memory through one WatchPermissions stream, and prints every change.

Generate the stubs first, then run it:

    protoc -I proto --python_out=. --grpc_python_out=. \
        --plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin proto/squelch/v1/*.proto
    python3 mirror.py 127.0.0.1:50051,127.0.0.1:50052 [EVENT...]

Each line is the JSON of {eventId, userId, channelIds, added, removed, revision}. SQUELCH_TOKEN may have a token.
"""

import json
import os
import random
import sys
import time

import grpc

from squelch.v1 import model_pb2, permission_service_pb2 as messages, permission_service_pb2_grpc as services

CHECKPOINT_SECONDS = 5
RETRY_SECONDS = [1, 2, 4, 8, 16, 30]
# After these codes the same request fails again, until the request or the configuration changes.
FINAL = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


class BrokenPromise(Exception):
    """A change was not the next one of the event's log."""


class Mirror:
    """The channels of the users of all events, and the position of each event in its log."""

    def __init__(self):
        self.cursors = {}
        self._users = {}
        self._chunks = {}

    def apply(self, response):
        """Applies one message and returns the differences."""
        payload = response.WhichOneof("payload")
        if payload == "snapshot":
            return self._apply_snapshot(response.snapshot)
        if payload == "changes":
            return self._apply_changes(response.changes)
        return []

    def _apply_snapshot(self, chunk):
        if chunk.chunk_index == 0:
            self._chunks[chunk.event_id] = {}
        chunks = self._chunks[chunk.event_id]
        chunks.update((user.user_id, list(user.channel_ids)) for user in chunk.users)
        if not chunk.complete:
            return []
        # Users who are not in the snapshot have no channels any more.
        after = self._chunks.pop(chunk.event_id)
        before = self._users.setdefault(chunk.event_id, {})
        self.cursors[chunk.event_id] = chunk.cursor
        place = (chunk.event_id, chunk.cursor.revision)
        return [change for user in before | after for change in self._set_user(*place, user, after.get(user, []))]

    def _apply_changes(self, batch):
        differences = []
        for change in batch.changes:
            cursor = self.cursors.get(batch.event_id)
            if cursor is None or cursor.epoch != batch.epoch or change.revision != cursor.revision + 1:
                self.cursors.pop(batch.event_id, None)
                raise BrokenPromise(f"revision {change.revision} of {batch.event_id} is not the next one")
            if change.WhichOneof("kind") == "membership_changed":
                changed = change.membership_changed
                place = (batch.event_id, change.revision)
                differences += self._set_user(*place, changed.user_id, list(changed.channel_ids))
            # A router also acts on speakers_paused, speakers_resumed, floor_revoked and user_disconnected here.
            self.cursors[batch.event_id] = model_pb2.Cursor(
                event_id=batch.event_id, epoch=batch.epoch, revision=change.revision
            )
        return differences

    def _set_user(self, event_id, revision, user_id, channel_ids):
        users = self._users[event_id]
        before, after = set(users.get(user_id, [])), set(channel_ids)
        users[user_id] = channel_ids
        if before == after:
            return []
        added, removed = sorted(after - before), sorted(before - after)
        names = ("eventId", "userId", "channelIds", "added", "removed", "revision")
        return [dict(zip(names, (event_id, user_id, channel_ids, added, removed, revision)))]


def watch(stub, mirror, event_ids, metadata):
    """Opens one stream. Yields, for each message, if the mirror is up to date, and the differences.

    Returns when the stream ends. The keepalive of the connection ends a stream if its replica is gone.
    """
    request = messages.WatchPermissionsRequest(
        event_ids=event_ids, cursors=mirror.cursors.values(), checkpoint_interval={"seconds": CHECKPOINT_SECONDS}
    )
    for response in stub.WatchPermissions(request, metadata=metadata):
        yield response.WhichOneof("payload") == "checkpoint" and response.checkpoint.feed_healthy, mirror.apply(response)


def main():
    _, addresses, *event_ids = sys.argv
    token = os.environ.get("SQUELCH_TOKEN")
    metadata = [("authorization", f"Bearer {token}")] if token else []
    options = [
        ("grpc.max_receive_message_length", 16 * 1024 * 1024),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.lb_policy_name", "round_robin"),
    ]
    mirror = Mirror()
    attempt = 0
    with grpc.insecure_channel(f"ipv4:{addresses}", options=options) as channel:
        stub = services.PermissionServiceStub(channel)
        while True:
            try:
                for is_caught_up, differences in watch(stub, mirror, event_ids, metadata):
                    attempt = 0 if is_caught_up else attempt
                    for difference in differences:
                        print(json.dumps(difference), flush=True)
            except BrokenPromise as error:
                print(error, file=sys.stderr)
            except grpc.RpcError as error:
                print(f"{error.code().name}: {error.details()}", file=sys.stderr)
                if error.code() in FINAL:
                    sys.exit(1)
            delay = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
            time.sleep(delay * random.uniform(0.75, 1))
            attempt += 1


if __name__ == "__main__":
    main()
