/** What became of a Topic's connections, samples and lines, since it is served. */
export interface TopicCounters {
  /** Samples that came from DDS. */
  read: number;
  /** Samples that clients have published. */
  written: number;
  readonly connections: { accepted: number; full: number; address: number };
  /** Lines that clients missed because they were too slow, and samples that were too long for any client. */
  readonly missed: { slow: number; long: number };
  /** Lines of clients that were not published: no samples, or where nobody publishes. */
  readonly refused: { invalid: number; unexpected: number };
  /** Connections that were ended from here. */
  readonly cut: { slow: number; line: number; invalid: number };
  /** How often clients have held back the topic. */
  held: number;
}

export function newCounters(): TopicCounters {
  return {
    read: 0,
    written: 0,
    connections: { accepted: 0, full: 0, address: 0 },
    missed: { slow: 0, long: 0 },
    refused: { invalid: 0, unexpected: 0 },
    cut: { slow: 0, line: 0, invalid: 0 },
    held: 0,
  };
}
