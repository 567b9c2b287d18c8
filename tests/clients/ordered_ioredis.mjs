// ioredis 5 on an ordered table: lists, sorted sets, transactions with WATCH, pipelines.
//   node ordered_ioredis.mjs PORT PREFIX redis | meridian
import assert from 'node:assert/strict';
import Redis from 'ioredis';

const [port, prefix, server] = [Number(process.argv[2]), process.argv[3], process.argv[4]];
const key = (name) => `${prefix}:io:${name}`;
const client = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: 1 });
await new Promise((resolve, reject) => client.once('ready', resolve).once('error', reject));

assert.equal(await client.lpush(key('l'), 'a', 'b', 'c'), 3);
assert.deepEqual(await client.lrange(key('l'), 0, -1), ['c', 'b', 'a']);
assert.equal(await client.rpoplpush(key('l'), key('l')), 'a');
assert.equal(await client.linsert(key('l'), 'BEFORE', 'c', 'x'), 4);

assert.equal(await client.zadd(key('z'), 1, 'one', '2.5', 'two'), 2);
assert.deepEqual(await client.zrange(key('z'), 0, -1, 'WITHSCORES'), ['one', '1', 'two', '2.5']);
assert.equal(await client.zincrby(key('z'), 2, 'one'), '3');
assert.deepEqual(await client.zpopmax(key('z')), ['one', '3']);

assert.equal(await client.hset(key('h'), { a: 1, b: 2 }), 2);
assert.deepEqual(await client.hgetall(key('h')), { a: '1', b: '2' });
assert.equal(await client.set(key('s'), 'v', 'PX', 100000, 'NX'), 'OK');
assert.ok((await client.pttl(key('s'))) > 90000);

assert.deepEqual(await client.multi().set(key('n'), 1).incrby(key('n'), 4).get(key('n')).exec(),
    [[null, 'OK'], [null, 5], [null, '5']]);
const other = client.duplicate();
await client.watch(key('n'));
await other.set(key('n'), 10);
assert.equal(await client.multi().incr(key('n')).exec(), null);
await client.watch(key('n'));
assert.deepEqual(await client.multi().incr(key('n')).exec(), [[null, 11]]);
other.disconnect();

const pipeline = client.pipeline();
for (let i = 0; i < 300; i++) pipeline.rpush(key('many'), i).lindex(key('many'), -1);
(await pipeline.exec()).forEach(([error, reply], i) => {
    assert.equal(error, null);
    assert.equal(reply, i % 2 ? String((i - 1) / 2) : i / 2 + 1);
});
await assert.rejects(client.lpush(key('n'), 'x'), /WRONGTYPE/);
if (server === 'meridian') await assert.rejects(client.call('EVAL', 'return 1', '0'), /unknown command 'EVAL'/i);
await client.quit();
console.log('ioredis: ok');
