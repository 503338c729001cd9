#!/usr/bin/env python3
"""A long way between two hosts, for kernels without netem: TCP that takes its time.

    tests/bench/delay.py MILLISECONDS ADDRESS TARGET PORT...

What comes to ADDRESS at one of the ports goes on to TARGET at the same port, half of the round trip of
so many milliseconds later, and back likewise. A connection waits a whole round trip first, as its
handshake would. As much is under way as Linux lets a connection have (the default of net.ipv4.tcp_rmem).
It prints `up` when it listens.
"""
import asyncio, collections, sys

# Half of it: room is made when a chunk arrives, and not when that is known here.
WINDOW = 3 << 20
CHUNK = 64 << 10


class Way:
    """One direction of a connection."""

    def __init__(self, reader, writer, delay):
        self.reader, self.writer, self.delay = reader, writer, delay
        self.chunks, self.under_way = collections.deque(), 0
        self.changed = asyncio.Condition()

    async def take(self):
        now = asyncio.get_running_loop().time
        while True:
            chunk = await self.reader.read(CHUNK)
            async with self.changed:
                await self.changed.wait_for(lambda: self.under_way < WINDOW)
                self.under_way += len(chunk)
                self.chunks.append((now() + self.delay, chunk))
                self.changed.notify_all()
            if not chunk:
                return

    async def give(self):
        now = asyncio.get_running_loop().time
        while True:
            async with self.changed:
                await self.changed.wait_for(lambda: self.chunks)
                due, chunk = self.chunks.popleft()
            await asyncio.sleep(max(0, due - now()))
            if not chunk:
                self.writer.write_eof()
                return
            self.writer.write(chunk)
            await self.writer.drain()
            async with self.changed:
                self.under_way -= len(chunk)
                self.changed.notify_all()

    async def run(self):
        await asyncio.gather(self.take(), self.give())


async def connection(reader, writer, target, port, delay):
    ends = [writer]
    try:
        await asyncio.sleep(2 * delay)
        far_reader, far_writer = await asyncio.open_connection(target, port)
        ends.append(far_writer)
        await asyncio.gather(Way(reader, far_writer, delay).run(), Way(far_reader, writer, delay).run())
    except OSError:
        # Either end may hang up, and the direct port is closed most of the time.
        pass
    finally:
        for end in ends:
            end.close()


async def main():
    delay = float(sys.argv[1]) / 2000
    address, target = sys.argv[2:4]
    for port in map(int, sys.argv[4:]):
        serve = lambda reader, writer, port=port: connection(reader, writer, target, port, delay)
        await asyncio.start_server(serve, address, port, limit=CHUNK)
    print("up", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
