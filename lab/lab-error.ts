/** The lab cannot do what was asked; the message names the object at fault and what to do about it. */
export class LabError extends Error {
  override name = "LabError";
}
