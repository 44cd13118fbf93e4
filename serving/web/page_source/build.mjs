// Bundles src/ and three.js into ../page/page.js, and puts three.js's licence beside it.
import { createHash } from "node:crypto";
import { copyFile, readFile, readdir } from "node:fs/promises";
import { build } from "esbuild";

const sources = (await readdir("src")).filter((name) => name.endsWith(".js")).sort();
const digest = createHash("sha256");
for (const path of [...sources.map((name) => `src/${name}`), "build.mjs", "package.json", "package-lock.json"]) {
  digest.update(path).update("\0").update(await readFile(path)).update("\0");
}

await build({
  entryPoints: ["src/main.js"],
  outfile: "../page/page.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "eof",
  banner: { js: `/* Made by make web-page from serving/web/page_source, sha256 ${digest.digest("hex")} */` },
  logLevel: "warning",
});
await copyFile("node_modules/three/LICENSE", "../page/LICENSE.three.txt");
