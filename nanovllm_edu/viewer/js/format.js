// The document of docs/reference/recording_format.md: whether it is one, and how to read an event.
// It knows the names of the fields, not what they mean.

const SCHEMA_VERSION = 1;
const FORMAT = "nanovllm-edu recording";

export function checkDocument(doc) {
  if (!doc || doc.format !== FORMAT) {
    throw new Error("this is not a recording; pass what encode(recording) returns");
  }
  if (doc.schema_version !== SCHEMA_VERSION) {
    throw new Error(`the recording has schema version ${doc.schema_version}, and this viewer ` +
      `reads ${SCHEMA_VERSION}; open it with the version that wrote it`);
  }
}

// An event is a list: the number of its kind, then its fields. The document names both.
export class EventKinds {
  constructor(kinds) {
    this.fields = kinds;
    this.code = {}; // kind name -> its number
    this.at = {}; // kind name -> field name -> place in the list
    kinds.forEach(([name, fields], i) => {
      this.code[name] = i;
      this.at[name] = Object.fromEntries(fields.map((field, j) => [field, j + 1]));
    });
  }

  name(row) {
    return this.fields[row[0]][0];
  }

  // { kind, seq_id, ... }
  read(row) {
    const [name, fields] = this.fields[row[0]];
    const event = { kind: name };
    fields.forEach((field, i) => (event[field] = row[i + 1]));
    return event;
  }
}
