// transformers.js: the folder without options, one text at a time. Arguments: request.json, answer.json.
import fs from "node:fs";
import path from "node:path";
import { env, pipeline } from "@huggingface/transformers";

const [request, answer] = process.argv.slice(2);
const { folder, texts } = JSON.parse(fs.readFileSync(request, "utf8"));
env.allowRemoteModels = false;
env.localModelPath = path.dirname(folder);
const classify = await pipeline("text-classification", path.basename(folder));
const labels = [];
const logits = [];
for (const text of texts) {
  labels.push((await classify(text))[0].label);
  const output = await classify.model(await classify.tokenizer(text, { truncation: true }));
  logits.push(Array.from(output.logits.data));
}
fs.writeFileSync(answer, JSON.stringify({ labels, logits }));
