import { errorFor, type Failure, parseDiagnostics } from "./diagnostics.ts";
import { NftError, NftInputError, NftKernelError, NftSyntaxError } from "./errors.ts";
import { parseListing } from "./listing.ts";
import type { ListedObject, ListTarget, NftCommand, ResetTarget } from "./ruleset.ts";

/** One call into libnftables. */
export type Request = {
  readonly text: string;
  /** The format of input and output. */
  readonly format: "text" | "json";
  readonly checkOnly: boolean;
  /** Leave the elements of sets and maps out of a listing. */
  readonly terse: boolean;
};

export type Reply = { readonly output: string } | Failure;

/** An operation that yields requests and is resumed with replies: the same code serves blocking and async callers. */
export type Steps<T> = Generator<Request, T, Reply>;

export type RunOptions = {
  /** Ask the kernel whether it would accept the commands, and change nothing. */
  readonly checkOnly?: boolean;
};

export type ListOptions = {
  /** Leave the elements of sets and maps out. */
  readonly terse?: boolean;
};

/** The kernel's ruleset changed while libnftables read it, or a signal came: the same request can be sent again. */
const INTERRUPTED: ReadonlySet<string> = new Set(["EINTR", "EAGAIN", "ERESTART"]);
const ATTEMPTS = 6;

export function* runSteps(text: string, { checkOnly = false }: RunOptions = {}): Steps<string> {
  const nul = text.indexOf("\0");
  if (nul !== -1) {
    throw new NftInputError(`nftables commands hold a NUL byte at offset ${nul}: libnftables would stop reading there`);
  }
  return yield* attempt({ text, format: "text", checkOnly, terse: false });
}

export function* transactionSteps(
  commands: readonly NftCommand[],
  { checkOnly = false }: RunOptions = {},
): Steps<void> {
  if (commands.length === 0) return;
  try {
    yield* attempt({ text: json(commands), format: "json", checkOnly, terse: false });
  } catch (error) {
    throw yield* withCommand(error, commands);
  }
}

export function* listSteps(target: ListTarget, { terse = false }: ListOptions = {}): Steps<readonly ListedObject[]> {
  return parseListing(yield* attempt({ text: json([{ list: target }]), format: "json", checkOnly: false, terse }));
}

export function* resetSteps(target: ResetTarget): Steps<readonly ListedObject[]> {
  const text = json([{ reset: target }]);
  return parseListing(yield* attempt({ text, format: "json", checkOnly: false, terse: false }));
}

export function drive<T>(steps: Steps<T>, execute: (request: Request) => Reply): T {
  let step = steps.next();
  while (!step.done) step = steps.next(execute(step.value));
  return step.value;
}

export async function driveAsync<T>(steps: Steps<T>, execute: (request: Request) => Promise<Reply>): Promise<T> {
  let step = steps.next();
  while (!step.done) step = steps.next(await execute(step.value));
  return step.value;
}

function* attempt(request: Request): Steps<string> {
  for (let left = ATTEMPTS - 1; ; left -= 1) {
    const reply = yield request;
    if ("output" in reply) return reply.output;
    const error = errorFor(parseDiagnostics(reply));
    if (left === 0 || !(error instanceof NftKernelError && INTERRUPTED.has(error.code))) throw error;
  }
}

/**
 * libnftables does not say which command of a JSON transaction the kernel refused. Dry runs of growing prefixes do: a
 * prefix is refused from the first bad command on, so a binary search finds it.
 */
function* withCommand(error: unknown, commands: readonly NftCommand[]): Steps<unknown> {
  if (!(error instanceof NftSyntaxError || error instanceof NftKernelError)) return error;
  if (error instanceof NftKernelError && error.retryable) return error;
  const named = error.diagnostics[0]?.command;
  const command = named ?? (yield* firstRefused(commands));
  if (command === undefined) return error;
  const source = JSON.stringify(commands[command]);
  return errorFor(error.diagnostics.map((diagnostic) => ({ ...diagnostic, command, source })));
}

function* firstRefused(commands: readonly NftCommand[]): Steps<number | undefined> {
  let accepted = 0;
  let refused = commands.length;
  if (yield* isAccepted(commands)) return undefined;
  while (refused - accepted > 1) {
    const middle = Math.floor((accepted + refused) / 2);
    if (yield* isAccepted(commands.slice(0, middle))) accepted = middle;
    else refused = middle;
  }
  return refused - 1;
}

function* isAccepted(commands: readonly NftCommand[]): Steps<boolean> {
  try {
    yield* attempt({ text: json(commands), format: "json", checkOnly: true, terse: false });
    return true;
  } catch (error) {
    if (error instanceof NftError) return false;
    throw error;
  }
}

function json(commands: readonly unknown[]): string {
  const text = JSON.stringify({ nftables: commands });
  // jansson refuses such a document as a whole, and libnftables then reports only "unexpected '{'".
  if (/\\u(0000|d[89a-f])/.test(text)) refuseUnreadableStrings(commands);
  return text;
}

function refuseUnreadableStrings(commands: readonly unknown[]): void {
  for (const [index, command] of commands.entries()) {
    JSON.stringify(command, (key: string, value: unknown) => {
      if (typeof value === "string" && (value.includes("\0") || !value.isWellFormed())) {
        const problem = value.includes("\0") ? "a NUL byte" : "an unpaired surrogate";
        throw new NftInputError(
          `nftables command ${index}: "${key}" is ${JSON.stringify(value)}, which holds ${problem}`,
        );
      }
      return value;
    });
  }
}
