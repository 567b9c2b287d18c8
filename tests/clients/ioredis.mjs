// ioredis 5 against one port: what an ordinary program does.
//   node ioredis.mjs PORT PREFIX CHANNEL
// Prints "listening" once it is subscribed to the channel; somebody else then makes messages come.
import assert from 'node:assert/strict';
import Redis from 'ioredis';

const [port, prefix, channel] = [Number(process.argv[2]), process.argv[3], process.argv[4]];
const key = (name) => `${prefix}:io:${name}`;

// The ready check is on, as by default: it reads INFO.
const client = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: 1 });
await new Promise((resolve, reject) => client.once('ready', resolve).once('error', reject));

assert.equal(await client.ping(), 'PONG');
assert.equal(await client.set(key('s'), 'value', 'EX', 100), 'OK');
assert.equal(await client.get(key('s')), 'value');
assert.ok((await client.ttl(key('s'))) > 90);
assert.deepEqual(await client.getBuffer(key('s')), Buffer.from('value'));

assert.equal(await client.incrby(key('n'), 7), 7);
assert.equal(await client.hset(key('h'), { a: 1, b: 2 }), 2);
assert.deepEqual(await client.hgetall(key('h')), { a: '1', b: '2' });
assert.equal(await client.sadd(key('set'), 'x', 'y'), 2);
assert.deepEqual((await client.smembers(key('set'))).sort(), ['x', 'y']);

const pipeline = client.pipeline();
for (let i = 0; i < 500; i++) pipeline.set(key(`p${i}`), i).get(key(`p${i}`));
const replies = await pipeline.exec();
assert.equal(replies.length, 1000);
replies.forEach(([error, reply], i) => {
    assert.equal(error, null);
    assert.equal(reply, i % 2 ? String((i - 1) / 2) : 'OK');
});

const listener = client.duplicate();
const heard = new Promise((resolve) => listener.once('message', (channel, text) => resolve([channel, text])));
assert.equal(await listener.subscribe(channel), 1);
console.log('listening');
const [from, text] = await heard;
assert.equal(from, channel);
assert.ok(text.length > 0);

await assert.rejects(client.call('NOSUCHCOMMAND'), /unknown command/);

listener.disconnect();
await client.quit();
console.log('ioredis: ok');
