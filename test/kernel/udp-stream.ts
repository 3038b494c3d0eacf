import { createSocket } from "node:dgram";

/*
 * Sends datagrams to the addresses in turn, as fast as it can, until its input ends; then prints how many left and how many
 * sends failed. Arguments: a port and the addresses.
 */
const [port, ...addresses] = process.argv.slice(2);
const socket = createSocket(addresses[0]?.includes(":") ? "udp6" : "udp4");
const counts = { sent: 0, failed: 0 };
let stopping = false;

function next(): void {
  if (stopping) {
    socket.close();
    process.stdout.write(JSON.stringify(counts));
    return;
  }
  const address = addresses[(counts.sent + counts.failed) % addresses.length];
  socket.send("x", Number(port), address, (error) => {
    if (error) counts.failed++;
    else counts.sent++;
    if (counts.sent === 100) process.stdout.write("\n"); // tells that traffic flows
    setImmediate(next);
  });
}

process.stdin.on("data", () => {
  stopping = true;
});
process.stdin.on("close", () => {
  stopping = true;
});
next();
