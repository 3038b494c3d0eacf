import { once } from "node:events";
import { connect, type Server } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { parseListenAddress, serveTcp } from "./http-server.ts";

test.each([
  ["9101", { host: undefined, port: 9101 }],
  ["192.0.2.1:9101", { host: "192.0.2.1", port: 9101 }],
  ["[192.0.2.1]:9101", { host: "192.0.2.1", port: 9101 }],
  ["[2001:db8::1]:80", { host: "2001:db8::1", port: 80 }],
])("%s is an address to listen on", (text, wanted) => {
  expect(parseListenAddress(text)).toEqual(wanted);
});

test.each(["", "port", "70000", "name:80", "2001:db8::1:80", "[]:80", ":80", "192.0.2.1:", "-1"])(
  "%j is none",
  (text) => {
    expect(parseListenAddress(text)).toBeUndefined();
  },
);

let server: Server | undefined;
afterEach(() => {
  vi.useRealTimers();
  server?.close();
  server = undefined;
});

async function start(): Promise<number> {
  const host = parseListenAddress("127.0.0.1:0");
  if (host === undefined) throw new Error("127.0.0.1:0 is an address");
  server = await serveTcp(host, { ready: () => false, status: () => ({ a: 1 }) }, () => undefined);
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** What comes back until the server hangs up. */
async function ask(port: number, request: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  socket.on("data", (chunk) => {
    answer += String(chunk);
  });
  socket.write(request);
  await once(socket, "close");
  return answer;
}
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;

test("the endpoints answer over TCP", async () => {
  const port = await start();
  expect(await ask(port, get("/livez"))).toMatch(/^HTTP\/1.1 200 OK/);
  expect(await ask(port, get("/readyz"))).toMatch(/^HTTP\/1.1 503 /);
  expect(await ask(port, get("/status"))).toMatch(/\{"a":1\}\n$/);
});

test("a request that does not end is refused when it is too long", async () => {
  const port = await start();
  expect(await ask(port, `GET /livez HTTP/1.1\r\nx: ${"x".repeat(8192)}`)).toMatch(/^HTTP\/1.1 400 /);
});

test("one client more than there is room for is hung up on; who is done makes room", async () => {
  const port = await start();
  const clients = Array.from({ length: 64 }, () => connect(port, "127.0.0.1"));
  await Promise.all(clients.map((client) => once(client, "connect")));
  await vi.waitFor(async () => expect(await connections()).toBe(64), { timeout: 10_000 });
  // It may be hung up on with a reset, in the middle of its request.
  expect(await ask(port, get("/livez")).catch(() => "")).toBe("");
  for (const client of clients) client.destroy();
  await vi.waitFor(async () => expect(await connections()).toBe(0), { timeout: 10_000 });
  expect(await ask(port, get("/livez"))).toMatch(/^HTTP\/1.1 200 OK/);
});

test("a client that trickles is hung up on after half a minute", async () => {
  const port = await start();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const client = connect(port, "127.0.0.1");
  client.write("GET /livez");
  if (server !== undefined) await once(server, "connection");
  vi.advanceTimersByTime(29_999);
  expect(await connections()).toBe(1);
  vi.advanceTimersByTime(1);
  // At once: silence ends it, too, but only after 5 s.
  expect(await connections()).toBe(0);
  client.destroy();
});

async function connections(): Promise<number> {
  return await new Promise((resolve, reject) => {
    server?.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
