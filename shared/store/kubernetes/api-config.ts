/** Where an API server is, how it is known, and what one is known by. */
export interface ApiConfig {
  /** Origin, for example `https://10.96.0.1:443`, and a path when the API is served beneath one. */
  readonly server: URL;
  /** Where objects of our own processes, such as Leases, belong. */
  readonly namespace: string;
  /** PEM of the authorities that may sign the server's certificate; the system's when undefined. */
  readonly ca: () => string | undefined;
  /** Name in the server's certificate, when it is not the host of `server`. */
  readonly tlsServerName: string | undefined;
  /** Takes any certificate; for tests of one's own cluster only. */
  readonly skipsVerify: boolean;
  /** The bearer token now; undefined: none. Read anew for every request, because tokens rotate. */
  readonly token: () => string | undefined;
  /** PEM certificate and key of the client, read anew for every connection. */
  readonly certificate: () => { readonly cert: string; readonly key: string } | undefined;
}

/** A configuration that cannot be used as it is: the operator mends it. */
export class ApiConfigError extends Error {
  override readonly name = "ApiConfigError";
}
