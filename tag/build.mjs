// Builds /t.js. The bundle is committed, so that nobody needs Node to run Troth; a test builds it anew and compares.
import { build } from "esbuild";

const out = process.argv[2] ?? "../src/troth/web/static/t.js";

await build({
  entryPoints: ["src/tracker.ts"],
  outfile: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  charset: "ascii",
  legalComments: "none",
});
