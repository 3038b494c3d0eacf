import type { BaseLogger } from "pino";

/** What the frontend logs with; pino's loggers are this. */
export type Log = Pick<BaseLogger, "debug" | "info" | "warn" | "error">;
