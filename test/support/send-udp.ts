/*
 * Sends one datagram for each line of a file, `SOURCE SOURCE-PORT DESTINATION PORT BYTES`, each from its own socket,
 * and prints how many were sent. Run in a client's namespace.
 */
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";

const [file = ""] = process.argv.slice(2);
const lines = readFileSync(file, "utf8").trim().split("\n");
let sent = 0;
for (const line of lines) {
  const [source = "", sourcePort, destination = "", port, bytes] = line.split(" ");
  const socket = createSocket(destination.includes(":") ? "udp6" : "udp4");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(Number(sourcePort), source, () => {
      socket.send(Buffer.alloc(Number(bytes), 0x61), Number(port), destination, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  });
  socket.close();
  sent++;
}
console.log(sent);
