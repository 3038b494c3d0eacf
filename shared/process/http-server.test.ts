import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
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

test("the endpoints answer over TCP", async () => {
  const host = parseListenAddress("127.0.0.1:0");
  if (host === undefined) throw new Error("127.0.0.1:0 is an address");
  const server = await serveTcp(host, { ready: () => false, status: () => ({ a: 1 }) }, () => undefined);
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const ask = async (path: string): Promise<string> => {
    const socket = connect(address.port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk) => {
      answer += String(chunk);
    });
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    await once(socket, "close");
    return answer;
  };
  expect(await ask("/livez")).toMatch(/^HTTP\/1.1 200 OK/);
  expect(await ask("/readyz")).toMatch(/^HTTP\/1.1 503 /);
  expect(await ask("/status")).toMatch(/\{"a":1\}\n$/);
  server.close();
});
