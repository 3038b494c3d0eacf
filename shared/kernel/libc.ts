import koffi from "koffi";

/*
 * The C library's functions, with their C meaning: a negative result is a failure and `lastErrno()` says which.
 * koffi types a foreign function as taking and returning `any`; the annotations here are the boundary.
 * Buffers are passed by address, without a copy. Structures are laid out by hand for little-endian 64-bit Linux
 * (x86-64 and arm64), the platforms Causeway runs on.
 */
const library = koffi.load(null);

export const openFile: (path: string, flags: number, mode: number) => number = library.func(
  "int open(const char *path, int flags, int mode)",
);
export const closeFd: (fd: number) => number = library.func("int close(int fd)");
export const setNamespace: (fd: number, type: number) => number = library.func("int setns(int fd, int type)");
export const socket: (domain: number, type: number, protocol: number) => number = library.func(
  "int socket(int domain, int type, int protocol)",
);
export const bindSocket: (fd: number, address: Uint8Array, length: number) => number = library.func(
  "int bind(int fd, void *address, int length)",
);
export const connectSocket: (fd: number, address: Uint8Array, length: number) => number = library.func(
  "int connect(int fd, void *address, int length)",
);
export const setSocketOption: (fd: number, level: number, option: number, value: Uint8Array, length: number) => number =
  library.func("int setsockopt(int fd, int level, int option, void *value, int length)");
export const sendTo: (
  fd: number,
  bytes: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number = library.func("long sendto(int fd, void *bytes, size_t length, int flags, void *address, int size)");
/** `messages`: an array of struct mmsghdr. How many of them were sent; negative when the first one was not. */
export const sendMessages: (fd: number, messages: Uint8Array, count: number, flags: number) => number = library.func(
  "int sendmmsg(int fd, void *messages, unsigned int count, int flags)",
);
export const receiveFrom: (
  fd: number,
  bytes: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: Uint8Array,
) => number = library.func("long recvfrom(int fd, void *bytes, size_t length, int flags, void *address, void *size)");
export const receiveMessage: (fd: number, message: Uint8Array, flags: number) => number = library.func(
  "long recvmsg(int fd, void *message, int flags)",
);
/** 0 when there is no such interface. */
export const interfaceIndex: (name: string) => number = library.func("unsigned int if_nametoindex(const char *name)");
const pollFds: (fds: Uint8Array, count: number, timeoutMs: number) => number = library.func(
  "int poll(void *fds, unsigned long count, int timeout)",
);

export function lastErrno(): number {
  return koffi.errno();
}

/** The address of a buffer's memory, for pointers inside C structures. The caller keeps the buffer alive. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

/** Waits until `fd` is readable. False after `timeoutMs`, or when a signal interrupted the wait. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  return waitAnyReadable([fd], timeoutMs);
}

/** The same for several descriptors, or for none. */
export function waitAnyReadable(fds: readonly number[], timeoutMs: number): boolean {
  const pollfds = new DataView(new ArrayBuffer(8 * Math.max(1, fds.length)));
  for (const [index, fd] of fds.entries()) {
    pollfds.setInt32(index * 8, fd, true);
    pollfds.setInt16(index * 8 + 4, 1, true); // POLLIN
  }
  return pollFds(new Uint8Array(pollfds.buffer), fds.length, timeoutMs) > 0;
}

/**
 * Looks, without waiting, which descriptors can be written (`writable`) or else read, or have met an error.
 * @returns their indexes.
 */
export function readyNow(descriptors: readonly { readonly fd: number; readonly writable: boolean }[]): number[] {
  if (descriptors.length === 0) return [];
  const pollfds = new DataView(new ArrayBuffer(8 * descriptors.length));
  for (const [index, { fd, writable }] of descriptors.entries()) {
    pollfds.setInt32(index * 8, fd, true);
    pollfds.setInt16(index * 8 + 4, writable ? 4 : 1, true); // POLLOUT, POLLIN
  }
  if (pollFds(new Uint8Array(pollfds.buffer), descriptors.length, 0) <= 0) return [];
  return [...descriptors.keys()].filter((index) => pollfds.getInt16(index * 8 + 6, true) !== 0);
}

/** A C int as setsockopt takes it. */
export function intOption(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

export interface ReadableWatch {
  /** Calls back (again) whenever the descriptor is readable. */
  start(): void;
  stop(): void;
  close(): void;
}

/** Watches a descriptor of any kind in the event loop (libuv's uv_poll): no thread, nothing at idle. */
export function watchReadable(fd: number, onReadable: () => void): ReadableWatch {
  const handle = koffi.node.poll(fd, { readable: true }, onReadable);
  return {
    start: () => handle.start({ readable: true }, onReadable),
    stop: () => handle.stop(),
    close: () => handle.close(),
  };
}

export const ERRNO = {
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EACCES: 13,
  EINVAL: 22,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EHOSTUNREACH: 113,
};
