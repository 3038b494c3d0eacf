import { createSocket, type Socket } from "node:dgram";
import { kernelError } from "#shared/kernel/kernel-error.ts";
import { bindSocket, closeFd, intOption, lastErrno, setSocketOption, socket } from "#shared/kernel/libc.ts";
import { AF_INET, AF_INET6, socketAddress } from "#shared/kernel/socket-address.ts";
import type { WantedSocket } from "./plan-sockets.ts";

export interface UdpSocket {
  readonly socket: Socket;
  /** The descriptor behind it, which lives as long. */
  readonly fd: number;
}

const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/**
 * A UDP socket that is bound and does not listen yet: `listen` makes it. Node opens none whose descriptor it would tell.
 * @throws KernelError
 */
export function openSocket({ bind, family, port }: WantedSocket): UdpSocket {
  const object = `UDP socket at ${bind} port ${port}`;
  const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw kernelError(lastErrno(), object);
  try {
    const on = intOption(1);
    const set = (level: number, option: number): boolean => setSocketOption(fd, level, option, on, on.length) === 0;
    // Applications in the same network namespace may have the port, too.
    if (!set(SOL_SOCKET, SO_REUSEADDR)) throw kernelError(lastErrno(), object);
    if (family === 6 && !set(IPPROTO_IPV6, IPV6_V6ONLY)) throw kernelError(lastErrno(), object);
    const address = socketAddress(bind, port);
    if (bindSocket(fd, address, address.length) < 0) throw kernelError(lastErrno(), object);
    return {
      fd,
      socket: createSocket({
        type: family === 4 ? "udp4" : "udp6",
        lookup: (host, _options, callback) => callback(null, host, family),
      }),
    };
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
