// node-redis 5 on an ordered table, RESP3 and RESP2: lists, sorted sets, transactions with WATCH.
//   node ordered_node_redis.mjs PORT PREFIX redis | meridian
import assert from 'node:assert/strict';
import { createClient, WatchError } from 'redis';

const [port, prefix, server] = [Number(process.argv[2]), process.argv[3], process.argv[4]];

async function session(RESP) {
    const key = (name) => `${prefix}:${RESP}:${name}`;
    const client = await createClient({ RESP, socket: { host: '127.0.0.1', port } }).connect();

    assert.equal(await client.rPush(key('l'), ['a', 'b', 'c']), 3);
    assert.deepEqual(await client.lRange(key('l'), 0, -1), ['a', 'b', 'c']);
    assert.equal(await client.lMove(key('l'), key('l'), 'LEFT', 'RIGHT'), 'a');
    assert.equal(await client.lPop(key('l')), 'b');
    assert.equal(await client.lLen(key('l')), 2);

    assert.equal(await client.zAdd(key('z'), [{ score: 1, value: 'one' }, { score: 2.5, value: 'two' }]), 2);
    assert.equal(await client.zScore(key('z'), 'two'), 2.5);
    assert.deepEqual(await client.zRangeWithScores(key('z'), 0, -1),
        [{ value: 'one', score: 1 }, { value: 'two', score: 2.5 }]);
    assert.deepEqual({ ...(await client.zPopMin(key('z'))) }, { value: 'one', score: 1 });
    assert.equal(await client.zRank(key('z'), 'none'), null);

    assert.equal(await client.hSet(key('h'), { a: '1', b: '2' }), 2);
    assert.equal(await client.hIncrBy(key('h'), 'a', 4), 5);
    assert.deepEqual({ ...(await client.hGetAll(key('h'))) }, { a: '5', b: '2' });
    assert.equal(await client.set(key('s'), 'v', { NX: true }), 'OK');
    assert.equal(await client.set(key('s'), 'w', { NX: true }), null);
    assert.equal(await client.getDel(key('s')), 'v');

    assert.deepEqual(await client.multi().set(key('n'), '1').incrBy(key('n'), 4).get(key('n')).exec(), ['OK', 5, '5']);
    const other = await client.duplicate().connect();
    await client.watch(key('n'));
    await other.set(key('n'), '10');
    await assert.rejects(client.multi().incr(key('n')).exec(), WatchError);
    await client.watch(key('n'));
    assert.deepEqual(await client.multi().incr(key('n')).exec(), [11]);
    other.destroy();

    const counts = await Promise.all(Array.from({ length: 300 }, () => client.incr(key('many'))));
    assert.deepEqual(counts, Array.from({ length: 300 }, (_, i) => i + 1)); // a connection's order is kept
    await assert.rejects(client.rPush(key('n'), 'x'), /WRONGTYPE/);
    if (server === 'meridian') await assert.rejects(client.eval('return 1'), /unknown command 'EVAL'/i);
    await client.close();
}

await session(3);
await session(2);
console.log('node-redis: ok');
