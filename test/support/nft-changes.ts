/*
 * Prints a line whenever nftables has changed in the network namespace that it runs in, until it is killed. Unlike
 * `nft monitor` it decodes nothing, so that a transaction of a thousand elements is told as fast as one of one element;
 * where the kernel had to drop messages, that is a change, too.
 */
import { bindSocket, ERRNO, intOption, lastErrno, receiveFrom, socket, watchReadable } from "#shared/kernel/libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0x80000 | 0x800;
const NETLINK_NETFILTER = 12;
/** NFNLGRP_NFTABLES is group 7. */
const GROUPS = 1 << 6;

const fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, NETLINK_NETFILTER);
const address = new Uint8Array(12);
new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
new DataView(address.buffer).setUint32(8, GROUPS, true);
if (fd < 0 || bindSocket(fd, address, address.length) < 0) throw new Error(`cannot watch nftables: ${lastErrno()}`);

const buffer = new Uint8Array(64 * 1024);
const sender = new Uint8Array(12);
const watch = watchReadable(fd, () => {
  for (;;) {
    if (receiveFrom(fd, buffer, buffer.length, 0, sender, intOption(12)) >= 0) continue;
    const errno = lastErrno();
    if (errno === ERRNO.EAGAIN) break;
    if (errno !== ERRNO.ENOBUFS && errno !== ERRNO.EINTR) throw new Error(`cannot read nftables' changes: ${errno}`);
  }
  console.log("changed");
  // libuv stops watching a socket that has overflowed.
  watch.stop();
  watch.start();
});
// Without a reference the watch would be collected with the garbage.
process.once("SIGTERM", () => {
  watch.close();
  process.exit();
});
