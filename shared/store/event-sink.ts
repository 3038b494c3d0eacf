/** Something that an operator must know about an object, as Kubernetes' Events say it (events.k8s.io/v1). */
export interface ClusterEvent {
  readonly regarding: {
    readonly apiVersion?: string;
    readonly kind: string;
    /** "" for a cluster-scoped object. */
    readonly namespace: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: "Normal" | "Warning";
  /** In one word, for programs. */
  readonly reason: string;
  /** What was being done. */
  readonly action: string;
  /** For people. */
  readonly note: string;
  readonly atMs: number;
}

/** Where events go. */
export interface EventSink {
  /** @throws StoreUnavailableError and the like: the event is lost. */
  post(event: ClusterEvent): Promise<void>;
}
