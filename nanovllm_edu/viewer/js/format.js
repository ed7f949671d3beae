// What the viewer takes: the values of introspect/view.py, whole (docs/reference/recording_format.md).

const SCHEMA_VERSION = 3;
const FORMAT = "nanovllm-edu view";

export function checkDocument(doc) {
  if (!doc || doc.format !== FORMAT) {
    throw new Error("this is no view of a recording; pass what encode_view(recording) returns");
  }
  if (doc.schema_version !== SCHEMA_VERSION) {
    throw new Error(`the view has schema version ${doc.schema_version}, and this viewer ` +
      `reads ${SCHEMA_VERSION}; open it with the version that wrote it`);
  }
}
