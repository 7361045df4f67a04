#!/bin/sh
# True if the last `npm run build` that succeeded is newer than everything it is made of: tsc takes seconds to find that out.
[ -e dist/.built ] && [ -z "$(find src machines sim test bench examples tsconfig.json package.json package-lock.json -newer dist/.built -print -quit)" ]
