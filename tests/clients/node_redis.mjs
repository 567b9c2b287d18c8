// node-redis 5 against one port, RESP3 and RESP2: what an ordinary program does.
//   node node_redis.mjs PORT PREFIX CHANNEL
// Prints "listening" once it is subscribed to the channel; somebody else then makes messages come.
import assert from 'node:assert/strict';
import { createClient } from 'redis';

const [port, prefix, channel] = [Number(process.argv[2]), process.argv[3], process.argv[4]];

async function session(RESP) {
    const key = (name) => `${prefix}:${RESP}:${name}`;
    const client = await createClient({ RESP, socket: { host: '127.0.0.1', port } }).connect();

    assert.equal(await client.ping(), 'PONG');
    assert.equal(await client.set(key('s'), 'grüße'), 'OK');
    assert.equal(await client.get(key('s')), 'grüße');
    assert.equal(await client.get(key('none')), null);
    assert.deepEqual(await client.mGet([key('s'), key('none')]), ['grüße', null]);
    assert.equal(await client.append(key('s'), '!'), Buffer.byteLength('grüße!'));

    assert.equal(await client.incrBy(key('n'), 5), 5);
    assert.equal(await client.decr(key('n')), 4);

    assert.equal(await client.hSet(key('h'), { name: 'Alice', kind: 'primary' }), 2);
    assert.deepEqual({ ...(await client.hGetAll(key('h'))) }, { name: 'Alice', kind: 'primary' });
    assert.equal(await client.hDel(key('h'), 'kind'), 1);

    assert.equal(await client.sAdd(key('set'), ['a', 'b', 'c']), 3);
    assert.equal(await client.sRem(key('set'), 'b'), 1);
    assert.deepEqual([...(await client.sMembers(key('set')))].sort(), ['a', 'c']);

    assert.equal(await client.expire(key('s'), 100), 1);
    assert.ok((await client.ttl(key('s'))) > 90);
    assert.equal(await client.del([key('s'), key('none')]), 1);
    assert.equal(await client.exists(key('s')), 0);

    const many = await Promise.all(Array.from({ length: 500 }, (_, i) => client.set(key(`p${i}`), String(i))));
    assert.ok(many.every((reply) => reply === 'OK'));
    const seen = new Set();
    for await (const keys of client.scanIterator({ MATCH: key('p*'), COUNT: 50 })) keys.forEach((k) => seen.add(k));
    assert.equal(seen.size, 500);

    await assert.rejects(client.sendCommand(['NOSUCHCOMMAND']), /unknown command/);
    await assert.rejects(client.lPush(key('h'), 'x'), Error);

    const listener = await client.duplicate().connect();
    let hear;
    const heard = new Promise((resolve) => (hear = resolve));
    await listener.subscribe(channel, hear);
    console.log('listening');
    assert.ok((await heard).length > 0);

    listener.destroy();
    await client.close();
}

await session(3);
await session(2);
console.log('node-redis: ok');
