import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";

/*
 * What a target may be asked: TCP 8080, HTTP 8081 (200 for /good, 404 for /found/nowhere, else 503), UDP 8080 (echo), over both
 * families. Prints "up", then for each line of input how many connections its application was told of.
 */
let accepted = 0;
createServer((socket) => {
  accepted += 1;
  socket.on("error", () => socket.destroy());
}).listen(8080, "::");
createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.once("data", (request) => {
    const path = request.toString("latin1").split(" ")[1];
    const status = path === "/good" ? "200 OK" : path === "/found/nowhere" ? "404 Not Found" : "503 Unwell";
    socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
  });
}).listen(8081, "::");
// A socket for each address, which answers from it.
const own = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
for (const { address, family } of own.filter((entry) => !entry.address.startsWith("fe80:"))) {
  const socket = createSocket(family === "IPv4" ? "udp4" : "udp6");
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  socket.bind(8080, address);
  await once(socket, "listening");
}
process.stdout.write("up\n");
process.stdin.on("data", () => process.stdout.write(`${accepted}\n`));
process.stdin.on("end", () => process.exit(0));
