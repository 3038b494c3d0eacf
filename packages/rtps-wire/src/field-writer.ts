import type { ByteWriter } from "./byte-writer.ts";
import type { ParameterWriter } from "./parameter-list.ts";

/** A function that writes a field of `data` as a parameter of `list`, if the field is there. */
export function fieldWriter<Value extends object>(list: ParameterWriter, data: Value) {
  return <Field extends keyof Value & string>(
    id: number,
    field: Field,
    write: (writer: ByteWriter, value: NonNullable<Value[Field]>, field: string) => void,
  ): void => {
    const value = data[field];
    if (value !== undefined && value !== null) list.add(id, field, (writer) => write(writer, value, field));
  };
}

export function writeText(writer: ByteWriter, value: string, field: string): void {
  writer.text(value, field);
}

/** A boolean: an octet of 0 or 1. */
export function writeFlag(writer: ByteWriter, value: boolean, field: string): void {
  writer.u8(value ? 1 : 0, field);
}
