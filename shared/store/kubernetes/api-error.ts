import { z } from "zod";

const statusSchema = z.looseObject({
  reason: z.string().default(""),
  message: z.string().default(""),
  code: z.int().default(0),
  details: z
    .looseObject({
      retryAfterSeconds: z.number().optional(),
      causes: z.array(z.looseObject({ reason: z.string().default(""), message: z.string().default("") })).nullish(),
    })
    .nullish(),
});

/** The API server's own answer that it did not do what it was asked for (metav1.Status). */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** HTTP status. */
  readonly code: number;
  /** For example `Conflict`, `Expired`; "" when the answer was no Status. */
  readonly reason: string;
  /** How long it wants to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(code: number, reason: string, message: string, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }

  /** The revision is gone: whoever continues from it lists again. */
  get isExpired(): boolean {
    return this.code === 410 || this.reason === "Expired" || this.reason === "Gone";
  }
}

/** A Status of a body or of a watch's ERROR event. @param what The request. */
export function apiErrorOf(value: unknown, httpStatus: number, what: string, retryAfter?: string): ApiError {
  const parsed = statusSchema.safeParse(value);
  const { reason, message, code, details } = parsed.success ? parsed.data : statusSchema.parse({});
  const seconds = details?.retryAfterSeconds ?? (retryAfter === undefined ? Number.NaN : Number(retryAfter));
  const status = httpStatus === 200 ? code : httpStatus;
  return new ApiError(
    status,
    reason,
    `${what}: ${status} ${reason}${message === "" ? "" : `: ${message}`}`,
    Number.isFinite(seconds) ? seconds * 1000 : undefined,
  );
}
