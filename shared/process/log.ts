import type { BaseLogger } from "pino";

/** What a process logs with; pino's loggers are this. */
export type Log = Pick<BaseLogger, "debug" | "info" | "warn" | "error">;
