{
  "target_defaults": {
    "cflags_cc": ["-std=c++20", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
    "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")", "native"],
    "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
  },
  "targets": [
    {
      # The device path and the vault: one addon, so that a frame goes from the ring to a sealed record without JavaScript.
      "target_name": "qkme",
      "sources": ["<!@(find native -name '*.cc' -not -path 'native/test/*' -not -path 'native/glibc/*' -not -path 'native/post/*' -not -path 'native/http/*' -not -path 'native/bench/*' -not -path 'native/fuzz/*' | sort)"],
    },
    {
      # Post-processing of detections into key: for src/post, used by the simulator and by devices, never by a running KME.
      "target_name": "qkme_post",
      "sources": ["<!@(find native/post -name '*.cc' -not -path 'native/post/test/*' | sort)", "native/gf128.cc", "native/gf128_portable.cc", "native/gf128_x86.cc"],
    },
    {
      # Symbols of glibc 2.38 for older systems: see native/glibc/shim.cc and src/http/uws.ts.
      "target_name": "glibc_shim",
      "sources": ["native/glibc/shim.cc"],
    },
    {
      # Names of the REST server's connections: for src/http/uws.ts alone.
      "target_name": "uws_connection",
      "sources": ["native/http/binding/connection_addon.cc"],
    },
    {
      # Load for measurements (bench/, tests): its TLS is the OpenSSL that Node carries. The last lines are a ring's reading side.
      "target_name": "loadgen",
      "sources": [
        "native/bench/client_tls.cc", "native/bench/connection.cc", "native/bench/slice.cc", "native/bench/loadgen.cc", "native/bench/drain.cc", "native/bench/wake.cc",
        "native/ingest.cc", "native/health.cc", "native/health_scan.cc", "native/seen_frames.cc", "native/fingerprint.cc", "native/frame_mac.cc", "native/frame_source.cc",
        "native/crc32c.cc", "native/ring.cc", "native/region.cc", "native/handover.cc", "native/sigbus_guard.cc", "native/vault/gcm.cc", "native/vault/sealer.cc",
      ],
    },
  ],
}
