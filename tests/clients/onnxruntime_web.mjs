// onnxruntime-web (WebAssembly): the ONNX file on token ids. Arguments: request.json, answer.json.
import fs from "node:fs";
import * as ort from "onnxruntime-web";

const [request, answer] = process.argv.slice(2);
const { file, columns } = JSON.parse(fs.readFileSync(request, "utf8"));
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(fs.readFileSync(file));
const logits = [];
for (const row of columns) {
  const feed = {};
  for (const [name, values] of Object.entries(row)) {
    feed[name] = new ort.Tensor("int64", BigInt64Array.from(values.map(BigInt)), [1, values.length]);
  }
  logits.push(Array.from((await session.run(feed)).logits.data));
}
fs.writeFileSync(answer, JSON.stringify({ logits }));
