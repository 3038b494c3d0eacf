import { closeSync, existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { NftUnavailableError } from "./errors.ts";
import type { Reply, Request } from "./operations.ts";

/** From nftables/libnftables.h. */
const OUTPUT_JSON = 1 << 4;
/** Protocol numbers instead of names: a listing must not depend on the machine's /etc/protocols. */
const OUTPUT_NUMERIC_PROTO = 1 << 7;
const OUTPUT_TERSE = 1 << 11;

/** From linux/memfd.h. */
const MFD_CLOEXEC = 1;

/** One context of libnftables: a netlink socket in the network namespace of the thread that makes it, and its caches. */
export class LibnftablesContext {
  readonly #functions: Functions;
  readonly #context: bigint;
  #flags = 0;
  #dryRun = false;

  /** @throws NftUnavailableError when koffi or the library does not load */
  constructor(library: string) {
    this.#functions = loadFunctions(library);
    const context = this.#functions.contextNew(0);
    if (context === null) throw new NftUnavailableError(`${library}: nft_ctx_new failed`);
    this.#context = context;
    if (this.#functions.bufferOutput(context) !== 0 || this.#functions.bufferError(context) !== 0) {
      this.#functions.contextFree(context);
      throw new NftUnavailableError(`${library}: the output of a context cannot be buffered`);
    }
  }

  /** Runs one request to its end; blocks the thread until the kernel has answered. */
  execute(request: Request): Reply {
    const context = this.#context;
    const functions = this.#functions;
    this.#configure(request);
    const several = request.format === "text" && isSeveralLines(request.text);
    const file = several ? this.#memoryFile(request.text) : undefined;
    let status: number;
    try {
      status =
        file === undefined
          ? functions.runBuffer(context, request.text)
          : functions.runFile(context, memoryFilePath(file));
    } finally {
      if (file !== undefined) closeSync(file);
    }
    // Reading rewinds the buffers, which else would grow from call to call.
    const output = functions.outputBuffer(context);
    const errors = functions.errorBuffer(context);
    if (status === 0) return { output };
    return { errors, sourceIsTrue: !several, ...(file === undefined ? {} : { file: memoryFilePath(file) }) };
  }

  free(): void {
    this.#functions.contextFree(this.#context);
  }

  /** An anonymous file that holds `text`, or undefined where there can be none: the buffer works, with poorer errors. */
  #memoryFile(text: string): number | undefined {
    const file = this.#functions.memfdCreate?.("nftables", MFD_CLOEXEC) ?? -1;
    if (file < 0) return undefined;
    try {
      writeFileSync(file, text);
      return file;
    } catch {
      closeSync(file);
      return undefined;
    }
  }

  #configure({ format, terse, checkOnly }: Request): void {
    const flags = (format === "json" ? OUTPUT_JSON | OUTPUT_NUMERIC_PROTO : 0) | (terse ? OUTPUT_TERSE : 0);
    if (flags !== this.#flags) {
      this.#functions.setFlags(this.#context, flags);
      this.#flags = flags;
    }
    if (checkOnly !== this.#dryRun) {
      this.#functions.setDryRun(this.#context, checkOnly);
      this.#dryRun = checkOnly;
    }
  }
}

/** Only a file's errors name their line, so commands of several lines go through an anonymous file in memory. */
function isSeveralLines(text: string): boolean {
  const newline = text.indexOf("\n");
  return newline !== -1 && newline !== text.length - 1;
}

function memoryFilePath(file: number): string {
  return `/proc/self/fd/${file}`;
}

type Functions = {
  readonly contextNew: (flags: number) => bigint | null;
  readonly contextFree: (context: bigint) => void;
  readonly bufferOutput: (context: bigint) => number;
  readonly bufferError: (context: bigint) => number;
  readonly outputBuffer: (context: bigint) => string;
  readonly errorBuffer: (context: bigint) => string;
  readonly setFlags: (context: bigint, flags: number) => void;
  readonly setDryRun: (context: bigint, dryRun: boolean) => void;
  readonly runBuffer: (context: bigint, text: string) => number;
  readonly runFile: (context: bigint, path: string) => number;
  readonly memfdCreate: ((name: string, flags: number) => number) | undefined;
};

/** koffi's functions are untyped: this is the one place that says what they take and give. */
function loadFunctions(library: string): Functions {
  try {
    // Not a static import: where koffi has no binary for the platform, the package must still load for `nft` processes.
    const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
    const nftables = koffi.load(library);
    return {
      contextNew: nftables.func("void *nft_ctx_new(uint32_t flags)"),
      contextFree: nftables.func("void nft_ctx_free(void *ctx)"),
      bufferOutput: nftables.func("int nft_ctx_buffer_output(void *ctx)"),
      bufferError: nftables.func("int nft_ctx_buffer_error(void *ctx)"),
      outputBuffer: nftables.func("const char *nft_ctx_get_output_buffer(void *ctx)"),
      errorBuffer: nftables.func("const char *nft_ctx_get_error_buffer(void *ctx)"),
      setFlags: nftables.func("void nft_ctx_output_set_flags(void *ctx, unsigned int flags)"),
      setDryRun: nftables.func("void nft_ctx_set_dry_run(void *ctx, bool dry)"),
      runBuffer: nftables.func("int nft_run_cmd_from_buffer(void *ctx, const char *buf)"),
      runFile: nftables.func("int nft_run_cmd_from_filename(void *ctx, const char *filename)"),
      memfdCreate: existsSync("/proc/self/fd") ? memfdCreate(koffi) : undefined,
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NftUnavailableError(`${library} cannot be used: ${reason}; install libnftables1`, { cause });
  }
}

function memfdCreate(koffi: typeof import("koffi")): Functions["memfdCreate"] {
  return koffi.load(null).func("int memfd_create(const char *name, unsigned int flags)");
}
