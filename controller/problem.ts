/** Something that an operator must know about an object. */
export interface Problem {
  /** `Kind namespace/name`. */
  readonly object: string;
  /** What is wrong and how it is put right. */
  readonly message: string;
}
