import type { Failure } from "./diagnostics.ts";
import { either, fields, type Guard, isBoolean, isString, oneOf } from "./guard.ts";
import type { Reply, Request } from "./operations.ts";

/** What the thread answers: a reply, or why it has no libnftables. */
export type WorkerAnswer = Reply | { readonly unavailable: string };

export const isRequest: Guard<Request> = fields<Request>(
  { text: isString, format: oneOf("text", "json"), checkOnly: isBoolean, terse: isBoolean },
  {},
);

export const isWorkerAnswer: Guard<WorkerAnswer> = either(
  either(
    fields<{ readonly output: string }>({ output: isString }, {}),
    fields<Failure>({ errors: isString, sourceIsTrue: isBoolean }, { file: isString }),
  ),
  fields<{ readonly unavailable: string }>({ unavailable: isString }, {}),
);
