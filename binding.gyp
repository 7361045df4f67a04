{
  "target_defaults": {
    "cflags_cc": ["-std=c++20", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
    "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")", "native"],
    "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
  },
  "targets": [
    {
      # The headers that most sources include are read once for each kind of target.
      "target_name": "headers",
      "type": "none",
      "actions": [
        {
          "action_name": "core",
          "inputs": ["native/precompile.sh", "native/test/std.h"],
          "outputs": ["<(PRODUCT_DIR)/obj.target/headers/core/common.h"],
          "action": ["sh", "native/precompile.sh", "<(PRODUCT_DIR)/obj.target/headers/core", "-", "<!(node -p \"require('node-addon-api').include_dir\")", "<(node_root_dir)/include/node"],
        },
        {
          "action_name": "qkme",
          "inputs": ["native/precompile.sh", "native/test/std.h"],
          "outputs": ["<(PRODUCT_DIR)/obj.target/headers/qkme/common.h"],
          "action": ["sh", "native/precompile.sh", "<(PRODUCT_DIR)/obj.target/headers/qkme", "qkme", "<!(node -p \"require('node-addon-api').include_dir\")", "<(node_root_dir)/include/node"],
        },
        {
          "action_name": "qkme_post",
          "inputs": ["native/precompile.sh", "native/test/std.h"],
          "outputs": ["<(PRODUCT_DIR)/obj.target/headers/qkme_post/common.h"],
          "action": ["sh", "native/precompile.sh", "<(PRODUCT_DIR)/obj.target/headers/qkme_post", "qkme_post", "<!(node -p \"require('node-addon-api').include_dir\")", "<(node_root_dir)/include/node"],
        },
      ],
    },
    {
      # The device path and the vault, for the addon and for the tools below, which take from it what they need.
      "target_name": "core",
      "type": "static_library",
      "dependencies": ["headers"],
      "cflags_cc": ["-include", "<(PRODUCT_DIR)/obj.target/headers/core/common.h"],
      "sources": ["<!@(find native -name '*.cc' -not -path '*/binding/*' -not -path 'native/test/*' -not -path 'native/glibc/*' -not -path 'native/post/*' -not -path 'native/bench/*' -not -path 'native/fuzz/*' | sort)"],
    },
    {
      # One addon, so that a frame goes from the ring to a sealed record without JavaScript.
      "target_name": "qkme",
      "dependencies": ["headers", "core"],
      "cflags_cc": ["-include", "<(PRODUCT_DIR)/obj.target/headers/qkme/common.h"],
      "sources": ["<!@(find native/binding -name '*.cc' | sort)"],
    },
    {
      # Post-processing of detections into key: for src/post, used by the simulator and by devices, never by a running KME.
      "target_name": "qkme_post",
      "dependencies": ["headers", "core"],
      "cflags_cc": ["-include", "<(PRODUCT_DIR)/obj.target/headers/qkme_post/common.h"],
      "sources": ["<!@(find native/post -name '*.cc' -not -path 'native/post/test/*' | sort)"],
    },
    {
      # Symbols of glibc 2.38 for older systems: see native/glibc/shim.cc and src/http/uws.ts.
      "target_name": "glibc_shim",
      "sources": ["native/glibc/shim.cc"],
    },
    {
      # Names of the REST server's connections: for src/http/uws.ts alone.
      "target_name": "uws_connection",
      "cflags_cc": ["-Wno-cast-function-type"], # Of a macro of Node's.
      "sources": ["native/http/binding/connection_addon.cc"],
    },
    {
      # Load for measurements (bench/, tests): its TLS is the OpenSSL that Node carries. Of the core it takes a ring's reading side.
      "target_name": "loadgen",
      "dependencies": ["headers", "core"],
      "cflags_cc": ["-include", "<(PRODUCT_DIR)/obj.target/headers/core/common.h"],
      "sources": ["<!@(find native/bench -name '*.cc' | sort)"],
    },
  ],
}
