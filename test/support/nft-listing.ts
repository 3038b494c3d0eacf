/** A listing of nft without the elements that packets have made, and time ends: of those it is never known what is there. */
export function withoutDynamic(listing: string): string {
  return listing.replaceAll(
    /(\tflags [^\n]*dynamic[^\n]*\n(?:\t\t(?!elements)[^\n]*\n)*)\t\telements = \{[^}]*\}\n/g,
    "$1",
  );
}
