/** Where libnftables saw a problem. Lines and columns count from 1; of a JSON transaction only the command is known. */
export type Diagnostic = {
  /** What libnftables or the kernel said, without the position. */
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
  readonly endColumn?: number;
  /** The line that the position points into. */
  readonly source?: string;
  /** The file, where an `include` led to another one. */
  readonly file?: string;
  /** Index into the commands of a JSON transaction, from 0. */
  readonly command?: number;
};

/** Everything this package throws. The subclasses differ in what the caller should do. */
export class NftError extends Error {
  override name = "NftError";
}

/** The input was refused before libnftables saw it (a NUL byte, a name that would not stay a name): fix the input. */
export class NftInputError extends NftError {
  override name = "NftInputError";
}

/** libnftables could not parse or evaluate the commands; nothing was changed: fix the commands. */
export class NftSyntaxError extends NftError {
  override name = "NftSyntaxError";
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super(describe(diagnostics));
    this.diagnostics = diagnostics;
  }
}

/** The kernel refused the transaction; nothing was changed. */
export class NftKernelError extends NftError {
  override name = "NftKernelError";
  /** The errno name, such as `EBUSY`; `UNKNOWN` for a text that no errno has. */
  readonly code: string;
  /**
   * Whether the same request can succeed later without a change of the ruleset. For `EMSGSIZE` and `ENOBUFS` send it
   * in smaller transactions: they were larger than the netlink socket's buffer.
   */
  readonly retryable: boolean;
  readonly diagnostics: readonly Diagnostic[];

  constructor(code: string, diagnostics: readonly Diagnostic[]) {
    super(`${describe(diagnostics)} (${code})`);
    this.code = code;
    this.retryable = RETRYABLE.has(code);
    this.diagnostics = diagnostics;
  }
}

/** `ENOENT`: a table, chain, map, element or device that the commands name does not exist: create it, or read again. */
export class NftNotFoundError extends NftKernelError {
  override name = "NftNotFoundError";
}

/** Neither the library nor the command can be used: install nftables, or name it. */
export class NftUnavailableError extends NftError {
  override name = "NftUnavailableError";
}

/** The object was closed. */
export class NftClosedError extends NftError {
  override name = "NftClosedError";
}

/** The worker or the `nft` process died on the way; the kernel may or may not have the change: list before going on. */
export class NftOutcomeUnknownError extends NftError {
  override name = "NftOutcomeUnknownError";
}

/** A listing that is not libnftables' JSON: a bug here or there. */
export class NftListingError extends NftError {
  override name = "NftListingError";
}

const RETRYABLE: ReadonlySet<string> = new Set([
  "EINTR",
  "EAGAIN",
  "ERESTART",
  "ENOBUFS",
  "ENOMEM",
  "EMSGSIZE",
  "ETIMEDOUT",
]);

function describe(diagnostics: readonly Diagnostic[]): string {
  const [first, ...others] = diagnostics;
  if (first === undefined) return "nftables failed without saying why";
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  return `nftables: ${place(first)}${first.message}${quote(first)}${more}`;
}

function place({ file, line, column, command }: Diagnostic): string {
  const parts = [
    ...(command === undefined ? [] : [`command ${command}`]),
    ...(file === undefined ? [] : [file]),
    ...(line === undefined ? [] : [`line ${line}`]),
    ...(column === undefined ? [] : [`column ${column}`]),
  ];
  return parts.length === 0 ? "" : `${parts.join(", ")}: `;
}

/** The source around the column, short enough for one line of a log. */
function quote({ source, column }: Diagnostic): string {
  if (source === undefined || source.trim() === "") return "";
  const start = Math.max(0, (column ?? 1) - 41);
  const end = start + 120;
  return `: ${start > 0 ? "…" : ""}${source.slice(start, end).trim()}${end < source.length ? "…" : ""}`;
}
