export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

/** What the API server answers instead of an object: metav1.Status. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: number;
  readonly reason: string;
  readonly causes: readonly StatusCause[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: number,
    reason: string,
    message: string,
    more: { readonly causes?: readonly StatusCause[]; readonly retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.causes = more.causes ?? [];
    this.retryAfterSeconds = more.retryAfterSeconds;
  }

  body(): object {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      details: { causes: this.causes, retryAfterSeconds: this.retryAfterSeconds },
      code: this.code,
    };
  }
}

export const notFound = (what: string): StatusError => new StatusError(404, "NotFound", `${what} not found`);
export const conflict = (message: string): StatusError => new StatusError(409, "Conflict", message);
export const badRequest = (message: string): StatusError => new StatusError(400, "BadRequest", message);
export const expired = (message: string): StatusError => new StatusError(410, "Expired", message);
export const invalid = (what: string, faults: readonly string[]): StatusError =>
  new StatusError(422, "Invalid", `${what} is invalid: ${faults.join("; ")}`, {
    causes: faults.map((message) => ({ reason: "FieldValueInvalid", message })),
  });
