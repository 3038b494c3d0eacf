/** What `causeway traffic` does unless an option says otherwise. */
export const TRAFFIC_DEFAULTS = {
  connections: 100,
  concurrency: 64,
  payloadBytes: 64,
  intervalMs: 200,
  timeoutMs: 5000,
  retries: 0,
} as const;
