import { type Diagnostic, type NftError, NftKernelError, NftNotFoundError, NftSyntaxError } from "./errors.ts";

/** What libnftables wrote to its error output, and how far its positions can be trusted. */
export type Failure = {
  readonly errors: string;
  /** The file that the commands were read from, if they were. */
  readonly file?: string;
  /**
   * Whether the printed source line is the right one. libnftables shows the first line of a buffer whatever line the
   * error is in (`erec_print`), so of a buffer with several lines only the column is true.
   */
  readonly sourceIsTrue: boolean;
};

const HEADER = /^(?:(.*):(\d+):(\d+)-(\d+): |netlink: )?Error: (.*)$/;
const CARETS = /^[ \t]*[~^][ \t~^]*$/;
const COMMAND_INDEX = /^Parsing command array at index (\d+) failed\.$/;

/**
 * Parses libnftables' error output: per error a line `[FILE:LINE:COLUMN-COLUMN: ]Error: MESSAGE`, the source line, and
 * a line of carets. Of a JSON transaction there is no position, but a trailing error that names the command's index.
 */
export function parseDiagnostics({ errors, file, sourceIsTrue }: Failure): readonly Diagnostic[] {
  const lines = errors.split("\n");
  const diagnostics: Diagnostic[] = [];
  let command: number | undefined;
  for (let index = 0; index < lines.length; index += 1) {
    const header = HEADER.exec(lines[index] ?? "");
    const message = header?.[5];
    if (header === null || message === undefined) continue;
    const named = COMMAND_INDEX.exec(message)?.[1];
    if (named !== undefined) {
      command = Number(named);
      continue;
    }
    const carets = CARETS.test(lines[index + 2] ?? "") ? lines[index + 2] : undefined;
    diagnostics.push({ message, ...position(header, lines[index + 1], carets, file, sourceIsTrue) });
    // The source line is the caller's text: it must not be taken for a header.
    if (carets !== undefined) index += 2;
  }
  if (diagnostics.length === 0) {
    return [{ message: errors.trim() === "" ? "failed without a message" : errors.trim() }];
  }
  return command === undefined ? diagnostics : diagnostics.map((diagnostic) => ({ ...diagnostic, command }));
}

function position(
  header: RegExpExecArray,
  source: string | undefined,
  carets: string | undefined,
  file: string | undefined,
  sourceIsTrue: boolean,
): Omit<Diagnostic, "message"> {
  const [, origin, line, from, to] = header;
  if (origin === "internal") return {};
  if (origin !== undefined) {
    return {
      ...(origin === file ? {} : { file: origin }),
      line: Number(line),
      column: Number(from),
      endColumn: Number(to),
      ...(source === undefined || carets === undefined ? {} : { source }),
    };
  }
  if (carets === undefined) return {};
  const columns = { column: carets.indexOf("^") + 1, endColumn: carets.trimEnd().length };
  return sourceIsTrue && source !== undefined ? { line: 1, ...columns, source } : columns;
}

/** Chooses the error class by what the first diagnostic says. */
export function errorFor(diagnostics: readonly Diagnostic[]): NftError {
  const message = diagnostics[0]?.message ?? "";
  const code = errnoCode(message);
  if (code === undefined) return new NftSyntaxError(diagnostics);
  return code === "ENOENT" || code === "ENODEV"
    ? new NftNotFoundError(code, diagnostics)
    : new NftKernelError(code, diagnostics);
}

/**
 * The errno behind a message, or undefined where libnftables refused the commands by itself. libnftables hands out only
 * the C library's text for the errno. `Could not process rule` is the kernel's answer to a command; a bare text is
 * libnftables' answer from what it read from the kernel; other prefixes tell what it was reading.
 */
export function errnoCode(message: string): string | undefined {
  if (message === "Interface does not exist") return "ENODEV";
  const answer = message.replace(/; did you mean .*$/, "");
  if (/^Could not (open|resolve|find|read) /.test(answer)) return undefined;
  const text = answer.slice(answer.lastIndexOf(": ") + 1).trim();
  const code = ERRNO_BY_TEXT.get(text);
  return code ?? (answer.startsWith("Could not process rule: ") ? "UNKNOWN" : undefined);
}

/** strerror(3) of glibc, then of musl where it differs, in the C locale. */
const ERRNO_BY_TEXT: ReadonlyMap<string, string> = new Map([
  ["Operation not permitted", "EPERM"],
  ["No such file or directory", "ENOENT"],
  ["Interrupted system call", "EINTR"],
  ["Input/output error", "EIO"],
  ["Argument list too long", "E2BIG"],
  ["Bad file descriptor", "EBADF"],
  ["Resource temporarily unavailable", "EAGAIN"],
  ["Cannot allocate memory", "ENOMEM"],
  ["Permission denied", "EACCES"],
  ["Device or resource busy", "EBUSY"],
  ["File exists", "EEXIST"],
  ["No such device", "ENODEV"],
  ["Invalid argument", "EINVAL"],
  ["Too many open files in system", "ENFILE"],
  ["Too many open files", "EMFILE"],
  ["No space left on device", "ENOSPC"],
  ["Too many links", "EMLINK"],
  ["Numerical result out of range", "ERANGE"],
  ["File name too long", "ENAMETOOLONG"],
  ["Too many levels of symbolic links", "ELOOP"],
  ["Value too large for defined data type", "EOVERFLOW"],
  ["Interrupted system call should be restarted", "ERESTART"],
  ["Protocol error", "EPROTO"],
  ["Message too long", "EMSGSIZE"],
  ["Protocol not available", "ENOPROTOOPT"],
  ["Protocol not supported", "EPROTONOSUPPORT"],
  ["Operation not supported", "ENOTSUP"],
  ["Address family not supported by protocol", "EAFNOSUPPORT"],
  ["No buffer space available", "ENOBUFS"],
  ["Connection timed out", "ETIMEDOUT"],
  ["Stale file handle", "ESTALE"],
  ["I/O error", "EIO"],
  ["Out of memory", "ENOMEM"],
  ["Resource busy", "EBUSY"],
  ["No file descriptors available", "EMFILE"],
  ["Result not representable", "ERANGE"],
  ["Filename too long", "ENAMETOOLONG"],
  ["Symbolic link loop", "ELOOP"],
  ["Value too large for data type", "EOVERFLOW"],
  ["Message too large", "EMSGSIZE"],
  ["Not supported", "ENOTSUP"],
  ["Operation timed out", "ETIMEDOUT"],
]);
