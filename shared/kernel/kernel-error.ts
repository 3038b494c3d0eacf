import { getSystemErrorName } from "node:util";

/**
 * The kernel refused or could not be asked. `object` names what the call was about ("route 10.0.0.0/24 table 100"),
 * `code` is the errno name ("EEXIST"). Subclasses are what a caller does about it.
 */
export class KernelError extends Error {
  readonly code: string;
  readonly object: string;
  constructor(object: string, code: string, detail: string, options?: ErrorOptions) {
    super(`${object}: ${detail} (${code})`, options);
    this.name = new.target.name;
    this.code = code;
    this.object = object;
  }
}

/** The object, or the device or namespace it refers to, does not exist. */
export class KernelNotFoundError extends KernelError {}
/** The object exists already. */
export class KernelExistsError extends KernelError {}
/** Ask again: the kernel was busy, out of buffers, interrupted, or did not answer in time. */
export class KernelBusyError extends KernelError {}
/** The process lacks a capability; the message says which. */
export class KernelPermissionError extends KernelError {}
/** The request is wrong and stays wrong; the message carries the kernel's own explanation where it gave one. */
export class KernelInvalidError extends KernelError {}

const NOT_FOUND = new Set(["ENOENT", "ESRCH", "ENODEV", "ENXIO", "EADDRNOTAVAIL"]);
const BUSY = new Set(["EINTR", "ENOBUFS", "EAGAIN", "EBUSY", "ENOMEM", "ETIMEDOUT", "ERESTART"]);
const PERMISSION = new Set(["EPERM", "EACCES", "EROFS"]);

/**
 * The error for a positive `errno`. `explanation` is the kernel's extended acknowledgement text or "";
 * `capability` is what the operation needs.
 */
export function kernelError(
  errno: number,
  object: string,
  explanation = "",
  capability = "CAP_NET_ADMIN",
): KernelError {
  const code = errnoName(errno);
  return kernelErrorFromCode(code, object, explanation, capability);
}

/** The same for an errno name, as Node's file functions report it. */
export function kernelErrorFromCode(
  code: string,
  object: string,
  explanation: string,
  capability: string,
  options?: ErrorOptions,
): KernelError {
  if (NOT_FOUND.has(code)) return new KernelNotFoundError(object, code, explanation || "does not exist", options);
  if (code === "EEXIST") return new KernelExistsError(object, code, explanation || "exists already", options);
  if (BUSY.has(code)) return new KernelBusyError(object, code, explanation || "the kernel is busy, try again", options);
  if (PERMISSION.has(code)) {
    const need = `needs ${capability} in the user namespace that owns the network namespace`;
    return new KernelPermissionError(object, code, explanation ? `${explanation}; ${need}` : need, options);
  }
  return new KernelInvalidError(object, code, explanation || "the kernel refused it", options);
}

/** The kernel's own (linux/errno.h, asm-generic/errno.h), as far as it lets them out: libuv does not know it. */
const ERESTART = 85;

/** "ENOENT" for 2; a number that nobody knows is printed as it is. */
function errnoName(errno: number): string {
  if (errno === ERESTART) return "ERESTART";
  return errno > 0 && errno < 4096 ? getSystemErrorName(-errno) : `errno ${errno}`;
}
