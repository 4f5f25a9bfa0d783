#!/usr/bin/env python3
"""python_clients.py HOST:PORT

Uses clients that others have published for Python against a server of its own, whose keys are wiped: aetcd over gRPC, then
etcd3gw over JSON. One line a case, `ok NAME` or `FAIL NAME: why`; ends with 1 if one failed. `.ci/clients` starts the server.
"""

import asyncio
import base64
import inspect
import sys
import traceback

import aetcd
import etcd3gw

HOST, PORT = sys.argv[1].rsplit(":", 1)
# Longer than anything here takes: a case that waits for what never comes fails instead of standing still.
PATIENCE = 20


def gateway():
    return etcd3gw.client(host=HOST, port=int(PORT), timeout=PATIENCE)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


async def refused(answer, text):
    """The call fails, and says this."""
    try:
        await answer
    except Exception as error:
        assert text in str(error), f"{error!r} does not say {text!r}"
    else:
        raise AssertionError(f"it was not refused with {text!r}")


async def events(watch, count):
    """The next events: kind, key and value."""
    iterator = watch.__aiter__()
    seen = []
    for _ in range(count):
        event = await anext(iterator)
        seen.append((event.kind, event.kv.key, event.kv.value))
    return seen


# ---- aetcd: gRPC ----


async def grpc_put_get_delete(client):
    assert await client.get(b"absent") is None
    first = await client.put(b"key", b"one")
    second = await client.put(b"key", b"two", prev_kv=True)
    assert (second.prev_kv.value, second.header.revision) == (b"one", first.header.revision + 1)
    got = await client.get(b"key")
    assert (got.value, got.version, got.create_revision) == (b"two", 2, first.header.revision)
    assert (await client.get(b"key", serializable=True)).value == b"two"
    assert (await client.delete(b"key", prev_kv=True)).prev_kv.value == b"two"
    assert await client.get(b"key") is None


async def grpc_prefix_and_range(client):
    for name in (b"p/a", b"p/b", b"p/c", b"q"):
        await client.put(name, name.upper())
    got = await client.get_prefix(b"p/", sort_order="descend")
    assert [(kv.key, kv.value) for kv in got] == [(b"p/c", b"P/C"), (b"p/b", b"P/B"), (b"p/a", b"P/A")]
    assert [kv.value for kv in await client.get_prefix(b"p/", keys_only=True)] == [b""] * 3
    assert [kv.key for kv in await client.get_range(b"p/b", b"q")] == [b"p/b", b"p/c"]
    assert (await client.delete_prefix(b"p/")).deleted == 3
    assert [kv.key for kv in await client.get_all()] == [b"q"]


async def grpc_txn(client):
    await client.put(b"t", b"1")
    ops = client.transactions
    won, answers = await client.transaction(
        compare=[ops.value(b"t") == b"1", ops.version(b"t") > 0, ops.create(b"u") == 0],
        success=[ops.put(b"t", b"2"), ops.get(b"t"), ops.delete(b"absent")],
        failure=[ops.put(b"t", b"wrong")],
    )
    assert won and len(answers) == 3 and answers[1][0][0] == b"2"
    assert not await client.replace(b"t", b"1", b"3")
    assert await client.replace(b"t", b"2", b"3")
    assert (await client.get(b"t")).value == b"3"
    twice = client.transaction(compare=[], success=[ops.put(b"d", b"1"), ops.put(b"d", b"2")], failure=[])
    await refused(twice, "duplicate key given in txn request")


async def grpc_lease(client):
    lease = await client.lease(60)
    await client.put(b"leased", b"x", lease=lease)
    assert list(await lease.keys()) == [b"leased"]
    assert await lease.granted_ttl() == 60 and 0 < await lease.remaining_ttl() <= 60
    assert (await lease.refresh()).TTL == 60
    await lease.revoke()
    assert await client.get(b"leased") is None
    assert await lease.remaining_ttl() == -1
    assert (await lease.refresh()).TTL == 0, "who is gone is not renewed"
    await refused(client.put(b"leased", b"x", lease=lease.id), "requested lease not found")


async def grpc_lease_expires_unless_kept_alive(client):
    kept, left = await client.lease(2), await client.lease(2)
    await client.put(b"kept", b"x", lease=kept)
    await client.put(b"left", b"x", lease=left)
    watch = await client.watch(b"left")

    async def keep():
        while True:
            assert (await kept.refresh()).TTL == 2
            await asyncio.sleep(0.5)

    keeping = asyncio.create_task(keep())
    assert await events(watch, 1) == [("DELETE", b"left", b"")]
    keeping.cancel()
    assert await client.get(b"kept") is not None and await client.get(b"left") is None
    await watch.cancel()
    await kept.revoke()


async def grpc_watch(client):
    start = (await client.put(b"w/0", b"history")).header.revision
    watch = await client.watch_prefix(b"w/", start_revision=start, prev_kv=True)
    other = await client.watch(b"other")
    await client.put(b"w/1", b"live")
    await client.delete(b"w/1")
    expected = [("PUT", b"w/0", b"history"), ("PUT", b"w/1", b"live"), ("DELETE", b"w/1", b"")]
    assert await events(watch, 3) == expected
    # One of two is cancelled, and the other goes on.
    await watch.cancel()
    await client.put(b"w/2", b"unseen")
    await client.put(b"other", b"seen")
    assert await events(other, 1) == [("PUT", b"other", b"seen")]
    assert [event async for event in watch] == [], "nothing comes after the cancellation"
    await other.cancel()
    only = await client.watch(b"w/3", kind=aetcd.rtypes.EventKind.DELETE)
    await client.put(b"w/3", b"filtered")
    await client.delete(b"w/3")
    assert await events(only, 1) == [("DELETE", b"w/3", b"")]
    await only.cancel()


async def grpc_watch_of_compacted_history(client):
    old = (await client.put(b"c", b"1")).header.revision
    now = (await client.put(b"c", b"2")).header.revision
    await client.compact(now, physical=True)
    await refused(client.compact(old), "required revision has been compacted")
    watch = await client.watch(b"c", start_revision=old)
    try:
        await events(watch, 1)
    except aetcd.exceptions.RevisionCompactedError as error:
        assert error.compacted_revision == now
    else:
        raise AssertionError("it was not told")


async def grpc_large_value(client):
    # Larger than one window of HTTP/2, so this library measures the connection by pings meanwhile.
    value = bytes(range(256)) * 4096
    for _ in range(5):
        await client.put(b"large", value)
        assert (await client.get(b"large")).value == value


async def grpc_lock(client):
    holder, contender = client.lock(b"lock", ttl=30), client.lock(b"lock", ttl=30)
    assert await holder.acquire() and await holder.is_acquired()
    assert not await contender.acquire(timeout=1)
    waiting = asyncio.create_task(contender.acquire(timeout=PATIENCE))
    assert await holder.release()
    assert await waiting and await contender.is_acquired() and not await holder.is_acquired()
    assert await contender.release()


async def grpc_members_and_status(client):
    members = [member async for member in client.members()]
    assert len(members) == 1 and list(members[0].client_urls)
    status = await client.status()
    assert status.leader.id == members[0].id and status.version.startswith("3.") and status.db_size > 0
    assert status.raft_index > 0 and status.raft_term > 0
    assert [alarm async for alarm in client.list_alarms()] == []
    await client.defragment()
    assert (await client.hash()) > 0


# ---- etcd3gw: JSON ----


async def json_put_get_delete(_):
    client = gateway()
    assert client.put("j/a", "1") and client.put("j/b", "2")
    assert client.get("j/a") == [b"1"] and client.get("absent") == []
    [(value, metadata)] = client.get("j/b", metadata=True)
    assert (value, metadata["key"], metadata["version"]) == (b"2", b"j/b", "1")
    assert [value for value, _ in client.get_prefix("j/", sort_order="descend")] == [b"2", b"1"]
    assert not client.replace("j/a", "wrong", "3") and client.replace("j/a", "1", "3")
    assert not client.create("j/a", "taken") and client.create("j/c", "new")
    assert client.delete("j/a") and not client.delete("j/a")
    assert client.delete_prefix("j/") and client.get_prefix("j/") == []


async def json_lease(_):
    client = gateway()
    lease = client.lease(ttl=60)
    client.put("leased", "x", lease=lease)
    assert lease.keys() == [b"leased"] and 0 < lease.ttl() <= 60 and lease.refresh() == 60
    assert lease.revoke() and client.get("leased") == [] and lease.ttl() == -1


async def json_lock(_):
    client = gateway()
    with client.lock("json-lock", ttl=30) as held:
        assert held.is_acquired() and held.refresh() == 30
        assert not client.lock("json-lock", ttl=30).acquire()
    assert client.lock("json-lock", ttl=30).acquire()
    # And the server's own.
    locked = client.post(client.get_url("/lock/lock"), json={"name": encoded("mutex")})
    assert base64.b64decode(locked["key"]).startswith(b"mutex/")
    client.post(client.get_url("/lock/unlock"), json={"key": locked["key"]})


async def json_watch(client):
    seen, cancel = gateway().watch("j/watched", start_revision=(await client.put(b"x", b"")).header.revision)
    await client.put(b"j/watched", b"1")
    await client.delete(b"j/watched")
    told = await asyncio.to_thread(lambda: [next(seen), next(seen)])
    assert [(event.get("type"), event["kv"]["key"], event["kv"].get("value")) for event in told] == [
        (None, b"j/watched", b"1"),
        ("DELETE", b"j/watched", None),
    ]
    cancel()


async def json_members_and_status(_):
    client = gateway()
    [member] = client.members()
    status = client.status()
    assert status["leader"] == member["ID"] and status["version"].startswith("3.")


# ---- both: users and passwords, last because they close the door ----


def administer(client, path, **request):
    return client.post(client.get_url("/auth/" + path), json=request)


async def users_roles_and_passwords(client):
    admin = gateway()
    for name in ("root", "alice"):
        administer(admin, "user/add", name=name, password=name + "-password")
        administer(admin, "role/add", name=name)
        administer(admin, "user/grant", user=name, role=name)
    permission = {"permType": "READWRITE", "key": encoded("alice/"), "range_end": encoded("alice0")}
    administer(admin, "role/grant", name="alice", perm=permission)
    administer(admin, "enable")
    try:
        await refused(client.put(b"alice/a", b"1"), "user name is empty")
        await refused(aetcd.Client(HOST, int(PORT), "alice", "wrong").get(b"alice/a"), "invalid user ID or password")
        async with aetcd.Client(HOST, int(PORT), "alice", "alice-password") as alice:
            await alice.put(b"alice/a", b"1")
            watch = await alice.watch(b"alice/a")
            await alice.put(b"alice/a", b"2")
            assert await events(watch, 1) == [("PUT", b"alice/a", b"2")]
            await refused(alice.put(b"other", b"x"), "permission denied")
            await refused(alice.get_all(), "permission denied")
        token = administer(admin, "authenticate", name="alice", password="alice-password")["token"]
        admin.session.headers["Authorization"] = token
        assert admin.get("alice/a") == [b"2"]
    finally:
        admin.session.headers.pop("Authorization", None)
        token = administer(admin, "authenticate", name="root", password="root-password")["token"]
        admin.session.headers["Authorization"] = token
        administer(admin, "disable")
    await client.put(b"open", b"again")


async def main():
    cases = [case for name, case in globals().items() if name.startswith(("grpc_", "json_", "users_"))]
    failed = 0
    for case in cases:
        assert inspect.iscoroutinefunction(case)
        try:
            async with aetcd.Client(HOST, int(PORT), timeout=None) as client:
                await client.delete_range(b"\0", b"\0")
                await asyncio.wait_for(case(client), PATIENCE)
        except Exception as error:
            failed += 1
            print(f"FAIL {case.__name__}: {error!r}", flush=True)
            traceback.print_exc()
        else:
            print(f"ok {case.__name__}", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
