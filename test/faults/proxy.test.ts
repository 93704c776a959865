import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { eventually } from '../support/waiting.ts';
import { FaultProxy } from './proxy.ts';

/** An echo server, a proxy before it, and the bytes received at both ends. */
async function echo() {
  let heard = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      heard += bytes;
      socket.write(bytes);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const proxy = await FaultProxy.to((server.address() as AddressInfo).port);
  onTestFinished(async () => {
    await proxy[Symbol.asyncDispose]();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const client = () => {
    const socket = createConnection(proxy.port, '127.0.0.1');
    const end = { socket, said: '', closed: once(socket, 'close') };
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      end.said += bytes;
    });
    return end;
  };
  return { proxy, client, heard: () => heard };
}

it('passes everything until told to cut, then exactly that many bytes, in either direction', async () => {
  const { proxy, client, heard } = await echo();
  const first = client();
  const cut = proxy.cutAfter('toServer', 7);
  first.socket.write('a whole frame');
  await Promise.all([cut, first.closed]);
  expect(heard()).toBe('a whole');
  const second = client();
  const cutBack = proxy.cutAfter('toClient', 2);
  second.socket.write('bcd');
  await Promise.all([cutBack, second.closed]);
  expect([heard(), second.said]).toEqual(['a wholebcd', 'bc']);
  const third = client();
  third.socket.write('efg');
  await eventually(() => expect(third.said).toBe('efg'));
  expect(proxy.accepted).toBe(3);
});

it('passes nothing while it stalls, and afterwards what arrived meanwhile, even if its sender has left', async () => {
  const { proxy, client, heard } = await echo();
  proxy.stall();
  const { socket, said, closed } = client();
  await once(socket, 'connect');
  socket.end('late');
  await eventually(() => expect(proxy.accepted).toBe(1));
  expect([heard(), said]).toEqual(['', '']);
  proxy.heal();
  await eventually(() => expect(heard()).toBe('late'));
  await closed;
});

it('refuses connections, and serves again', async () => {
  const { proxy, client } = await echo();
  const there = client();
  there.socket.write('x');
  await eventually(() => expect(there.said).toBe('x'));
  proxy.refuse();
  await Promise.all([there.closed, client().closed]);
  proxy.heal();
  const again = client();
  again.socket.write('y');
  await eventually(() => expect(again.said).toBe('y'));
});
