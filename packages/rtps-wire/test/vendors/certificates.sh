#!/bin/sh
# Makes what the secured participant of fast.cpp reads: certificates.sh FOLDER. Keys live as long as the folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=authority -keyout ca-key.pem -out ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=recorded -keyout key.pem -out request.pem 2>/dev/null
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 3650 -out cert.pem 2>/dev/null
for file in governance permissions; do
  openssl smime -sign -in "$here/$file.xml" -text -out "$file.smime" -signer ca.pem -inkey ca-key.pem
done
