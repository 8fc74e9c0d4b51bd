// Made by Tests/Fixtures/tokenization/make_chat_templates.py; do not edit.

/// Ways of writing conversations, each with the digests (FNV-1a, 64 bits) of templates that render
/// exactly that.
let knownChatTemplates: [(way: ChatTemplate, digests: [UInt64])] = [
    // LFM2-8B-A1B
    // Qwen3-Coder
    (
        .chatML(),
        [
            0x00bc14437e57b4b2, 0x03ccd3a3f195d28b, 0x06648b7c15d2310c, 0x06fd1633c9287418,
            0x089792a784711b6c, 0x0c2e338237fb0c78, 0x0cb4f8e94b611433, 0x176ffeb572e2637f,
            0x17fde6ecda9c7c01, 0x20493857a2263571, 0x21dc9ed0659009cb, 0x2784c43519c82865,
            0x292047ca9620068b, 0x2bdb6446f8d36516, 0x2c7c949bc6292b8b, 0x2dcc6f983ec2f95c,
            0x30dd0f655ca17935, 0x373004dc41aa5e33, 0x3e1b0a8778e1e8cc, 0x49d0d4309d9e3f91,
            0x50d38dfd9ea2e8bd, 0x56287982d3253c2b, 0x597961e70236d7bd, 0x5b7964ae39dd0be0,
            0x5d0e0e57dc11b0ab, 0x61b14c08ce66894a, 0x6349a7240d7c02b9, 0x64c90fcede246b34,
            0x708b408490e22ce1, 0x7095abe5ecc45e51, 0x743c69d6e4b81d01, 0x77158083b3684200,
            0x773d13e188afc917, 0x7be1d67a3c72b682, 0x7ed1c7612cc1c4ce, 0x88bf4138d5c826f0,
            0x88e042471fc94775, 0x8bb723598ed1ca97, 0x8f4d5cc271e93293, 0x906112cca0487446,
            0x96b4d51a5a565880, 0x9d3cb38020b7b2c5, 0xa20fc7037da395e6, 0xa41d6bae9b9141bc,
            0xa55df71f8b3fa27e, 0xa7e5a7ccc6bb1436, 0xa83ee9f083c1216b, 0xa9a292cf746085cd,
            0xb1a888da7acb5c92, 0xb70510edf88c2d10, 0xb8a68e066d09352a, 0xba19c2cec3c369b4,
            0xbe10679872d5c79a, 0xc0947ffed3b0debc, 0xc8c9d5874a50904a, 0xcee86cdbacf51f1f,
            0xd37d292efd73422c, 0xd42348f7b797adbd, 0xe89e2521cb95256e, 0xeadfd249690c037b,
            0xf053592f732f98a8, 0xf36dcc827808ed83, 0xf4a3cb017c799d8b, 0xf8ff82c0e193b499,
            0xfb4a6cf12534f946, 0xfe474b07f9516a9a
        ]
    ),
    // MiMo-VL
    (
        .chatML(defaultSystem: "You are MiMo, an AI assistant developed by Xiaomi."),
        [
            0x807681b15ab177ad
        ]
    ),
    // Qwen-Qwen2.5-7B-Instruct
    (
        .chatML(
            defaultSystem: "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        [
            0xe642ce246d7f2e3d
        ]
    ),
    (
        .chatML(
            defaultSystem: "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
        [
            0x00265326d9544e43, 0x0512d37acc6e8f51, 0x05141bd4e05633d6, 0x0979e6131fa7993a,
            0x09b5156a5cf6abfc, 0x0cba545bf5522fae, 0x0db0d43735308665, 0x0e4701b306d2d974,
            0x0f861a55ae55ddd5, 0x14256cf57fcca4da, 0x142ff12d4a40d725, 0x14352b1f500d5897,
            0x151d4b969aba3c3e, 0x163e6248bd238501, 0x199b0d9a9e21a78a, 0x210f1c7addcb858f,
            0x215ffa538971e777, 0x240b41dde7c6b3a1, 0x25ad4f71eea48105, 0x285e925fef4896c7,
            0x2d3ab40da5225ac9, 0x2d8b5d900d08b2eb, 0x2df9f0e5adae34d2, 0x2ef6caf177cdefc0,
            0x34e6bf9531209c34, 0x36e072ad34049cc2, 0x3a4c891b65673c0a, 0x3f7ea0b98bdc459d,
            0x45ec583d4d25bc3a, 0x48847a12e392e34c, 0x4f2197d170d83d3c, 0x54d901aa30a236c0,
            0x54e324a5ecf81c32, 0x589585e41920d2d1, 0x5ca014841dd7088b, 0x5cf93af4ee90200c,
            0x5f1afe40db79d22a, 0x60b7e4046c8c5d9c, 0x6164602105daa4f3, 0x61ac0c837b8cb3ff,
            0x61c56f0ecd1dc3b8, 0x64f1137023d434a0, 0x6526e06c88d8b32d, 0x65c411a33fa9cb24,
            0x6854db70413483ff, 0x68fa21b01dd47be6, 0x69f84da7113fa3e8, 0x702d7549a582ce4f,
            0x70945137ba71f668, 0x7167cb60d5352f45, 0x744730f9e9373841, 0x7508c1257520a9b4,
            0x767e109f67150179, 0x76978ac30c03f19f, 0x770a15c7799f2cf2, 0x789e634585b8e10c,
            0x79b4166147ae61e7, 0x7b8daa6bd3d012e5, 0x7e06997690e675e2, 0x837e7e7cf41e8e23,
            0x86da518263bca40d, 0x8888d7947a263f43, 0x890da7adbde1242a, 0x89aee964d8cc2981,
            0x89fffa8d7e0fefe2, 0x8ba8d8b745cdfd7d, 0x8c7e0cf0ab35c789, 0x8c9c5bb91ef3c007,
            0x903b659fff7869ab, 0x9190dcbc83e8b207, 0x925a547d220968e2, 0x937e80d13cca1cab,
            0x93b5fbec28cf4b2a, 0x9554b5fad38accec, 0x973982b9c755a506, 0x99361684d7c86356,
            0x9949ef2208da594e, 0x9af325c0f4daa7b5, 0x9b0e6c5833cf69e0, 0x9c4a4872494d5bd3,
            0x9f491784e50e12f5, 0xa12b735fd560bf66, 0xa2cb6b7f288c209c, 0xa57872c5eaff8a24,
            0xaa61c72556f4702d, 0xaf4932fb48920ef7, 0xb53bf58fd62b2518, 0xbcd342c676ae09c8,
            0xbe4898e845457ece, 0xbf9916672982e15c, 0xc385bc4cb79da98f, 0xc4b4bdedefa6ab30,
            0xc53de0238df2be54, 0xc58cdc2eeb516282, 0xca8b4deee93cf92c, 0xcacfe8913178e860,
            0xcc56ff2383828585, 0xcc8a5c727c896632, 0xd1f6aa0ac6bd7001, 0xd453c411ae798533,
            0xd50da3155e4fdfb0, 0xd6a874d108f18b29, 0xd7ba20393b47fead, 0xda37c68afa649035,
            0xda5a5c636e295b29, 0xda7d4d6b88907b47, 0xdea82ad6e5f21c8c, 0xe4c6dfbc4260d65c,
            0xe4d04fe0b18125c5, 0xe5071ab31e9de683, 0xe54304907d4e6279, 0xe5516e0d87f176e3,
            0xe5bb758cd1044d0e, 0xe6be2000028cbaf4, 0xe76304914c31680f, 0xe9f3ee804077a4be,
            0xeaee06e6a732a7fd, 0xeaf0b798b649e5dc, 0xeee3e02ab73a2fd2, 0xefbf16448def06d3,
            0xf12ab948dc864dd1, 0xf26f95f078cad19f, 0xf4ceed1ee4ae5c4e, 0xf5171f786dc9f8fa,
            0xf5de39183adb48c7, 0xf8fbd638c605ca62, 0xf9aa22de98194c17, 0xfe919f12c9b1446b
        ]
    ),
    (
        .chatML(defaultSystem: "You are a helpful assistant"),
        [
            0x022422c79b0fcaef, 0x02fa5252a658224d, 0x03a7740a43c48445, 0x0472b2392dfc9b74,
            0x116cfcfa3a45b510, 0x133eafd67c026f2d, 0x1596eed8e1d0326a, 0x16c0d804cd2ee3c4,
            0x19545fbebd3232e9, 0x19c076634227c3c6, 0x1a638eca99a8a638, 0x235077caa17126fe,
            0x2498898f648e6bda, 0x24adbc0d8a63a79d, 0x25bc8241f357555a, 0x263a4cf110749fc5,
            0x265f935f561deb3c, 0x2744dca08245a5f0, 0x27b10e48554b403f, 0x295a0869128c2a98,
            0x2972493efdb82541, 0x2ca19eb2f8b54d22, 0x2e43ceaca149aa7c, 0x2f40e51e66e646cf,
            0x2fa138998f161b35, 0x2ff3208d7e2dc1f1, 0x30ebd6c0aab3a003, 0x310562d44f77e652,
            0x3246fac250e79afd, 0x33f68d173ffb4c02, 0x380758cbcd92c329, 0x438e2fef22ef45da,
            0x44041db5a16a86b6, 0x449f940d1ae57ea8, 0x4568a1364927ee34, 0x464b0f3996261702,
            0x48fa1f65d9d410d4, 0x4cb6fa85abc3a15f, 0x4e1f53c5466de248, 0x4e59748ce968599e,
            0x5535c0dcb3d1da6a, 0x558cde2e3d1da0cc, 0x56ed110272a98e73, 0x5772e1c08aa85be4,
            0x59c1f8594209b09c, 0x5a8b84190174bb22, 0x5bb9815323c27f1b, 0x5be8bc46f81ae2d4,
            0x5c75644d03cea78c, 0x5eba0523b605723c, 0x614d375deb2aed9a, 0x6293a39745c7de2d,
            0x63ea1c26b1117f87, 0x6625c09954cf0458, 0x670862287baaee4e, 0x689d577664c6bb0a,
            0x68e35a9ca2c054dc, 0x72e2f4aa36c202bd, 0x74a0c255ede26832, 0x7aae6b49e62b203d,
            0x7affd80b83c72ac4, 0x7bbda73d8b7c32e5, 0x7c73ebe50869ca94, 0x7ce7bbaa51e85c72,
            0x7d1b764f62a38d3d, 0x7d5f60edca58a113, 0x81ceab0868c6b745, 0x8214f92c0b48a95a,
            0x82308fcc5fd5262e, 0x8501c47f48424d20, 0x865da3e6125a1e47, 0x88519db95d75e1cf,
            0x8d2bc5f5d297eee4, 0x9134865fa248a939, 0x92bbbdf276293027, 0x94d9a19d82e6f2c3,
            0x94e0d4a377df84ec, 0x96cc88e3044d72a6, 0x975507df721655f3, 0x9841961692b8cecf,
            0x98cf4cd2482ad0b2, 0x99e50c56b72bbff1, 0x9a5c68b1bc961717, 0x9d131a44e5a3f1c4,
            0xa59527389edc280a, 0xa5990355463b3e9d, 0xa5a884e41d6d312b, 0xa80c489133139862,
            0xa8eb74591c8c3283, 0xaadbf0c027741237, 0xac001dbda7dfcf67, 0xaf82eb57e8662e59,
            0xb07f742c9b8b3c02, 0xb53cb24cde4a0f78, 0xb5994f69971b61aa, 0xb5b6d5f0a6382a19,
            0xb8dade50dfe18345, 0xba942b436914bdc9, 0xbe8e4dc789d570d2, 0xc023415600b943b7,
            0xc2d8a7bef2a9ad10, 0xc5044b1f119e819d, 0xc867da37c989d41f, 0xc8b53328bc15cc60,
            0xc9efaf9f263180db, 0xcc18b3f8e7987661, 0xd07409c9292a3a9b, 0xd2231d090b55c37b,
            0xd7d411e60f0388f2, 0xd8aec12eb20c6529, 0xdca1ef3b740316d4, 0xe1b014f65138f643,
            0xe1e218fcb9c90d13, 0xe2b944fd5c9722cb, 0xe3b129367a7ecf3e, 0xe3bcbde5c4039560,
            0xe446dc8d1d4bf5da, 0xe64111f3bf9340ef, 0xe737f07a0f2d340d, 0xe956baf93f5ace15,
            0xef8ac7aabde34e52, 0xf3a6c512dee1f4b7, 0xf5b21b6f84769db5, 0xf66de777b7f241c4,
            0xf75385d26fbaec43, 0xfcfbc20afe852f23, 0xfd5e14d0b2ab4ee5, 0xff7f84d256165591
        ]
    ),
    (
        .chatML(defaultSystem: "You are a helpful assistant."),
        [
            0x00c66e43404f2fba, 0x01c324a11f806fb9, 0x0bb60184dcf71630, 0x0d66cc121ec7a4a6,
            0x0e65617107bd0d19, 0x0fc1948aaeef9248, 0x0ff1a7487a8e7577, 0x10fa1d59ffe7b350,
            0x1151a29f3b7d0cec, 0x1194a7cecd31ddd9, 0x127075e25966d275, 0x12cfba6bb3037327,
            0x1573ab5dcb4990d7, 0x1649b0098460d527, 0x165bd5f0a1de2872, 0x200f0e44abde6ac0,
            0x20dad5cb843205a5, 0x25677de16cfe668e, 0x26b2b16196d0bb5d, 0x2a9926756d01db73,
            0x31e5b36d241a25cc, 0x353c838e1b2ec2a6, 0x35cce7acce391b23, 0x37a355cafac230ff,
            0x3b7b3f700b86a769, 0x3bb0f9a994a42504, 0x3d38363c4dd4b69f, 0x3e4fff420ce3de96,
            0x3f0b86c636130b9c, 0x4088f35ba4b390be, 0x41f2b49c5a82df7c, 0x431c800eaf14ab0c,
            0x43cf71c24144551f, 0x43d362bf0a672d11, 0x4470bd7dd07a9044, 0x451712af3e00dbed,
            0x46141bdf4d6332bc, 0x4bf44ee9aed84c65, 0x5532d757505748f1, 0x566f7a6c80675fa9,
            0x581116a4a79c8f55, 0x5b83e36e5a282391, 0x5c61f36facaf0917, 0x632ee0caed29e16e,
            0x63cab1d8d4170ad9, 0x63eaea18b2119d8b, 0x6648f1a510052ecc, 0x6c11e0b53e83759c,
            0x6e7b2ddf95ad4f39, 0x6fd959a7dda291b8, 0x7198f481a860d8c4, 0x71cd282fa58e8553,
            0x724c081540bf4194, 0x73495b853924e781, 0x73a1d44aa5980498, 0x75e88977b2787cd7,
            0x7863b7930ccea939, 0x78655c94f84c51a0, 0x79567f79e2e7b95c, 0x7ad65f307a13d437,
            0x7c60a53b3da99b52, 0x7c61bf72f6621aca, 0x7d91126d0cf063f7, 0x7dd39826b30cef3e,
            0x7edea8034606a5c3, 0x7f180d3eb8d4eeb1, 0x84d20d6e9323539e, 0x87669c7fdc85f3f3,
            0x89dad392e9151080, 0x8a87094e0e1e24c5, 0x8ab45648ff585336, 0x8bcfdefd14a41f81,
            0x8c03670d1bbd5cc9, 0x8d1bd11a683a3361, 0x8d4cb5b9db4ead8b, 0x93c3d456bb98f276,
            0x9615c2b5f7a184c6, 0x9a5cea8f7404fb21, 0x9cbc2045e5a53916, 0x9da92036633e1602,
            0xa0284cf112d1c646, 0xa1bfb9178a6b0346, 0xa2f8af062bd42e85, 0xa4d5a2cfa7dbcbd4,
            0xa55859a20c25739e, 0xa769cceb449329ed, 0xaba07a02386681e3, 0xae8a4fcddeed5276,
            0xaf052d8df341498a, 0xaf8c22d5e7058a4e, 0xb2020eea8e2d3efc, 0xb2033258483e7163,
            0xb2082a7013c01767, 0xb3891687f6c63510, 0xb5b1616f2c08756b, 0xb81efa093f34756d,
            0xbe530f1b9f8c9e9f, 0xc093e4623f127a18, 0xc12e985e15b75d92, 0xc1ff477d10b7433d,
            0xc6ce1e6f0b249ad9, 0xc6ecb401a85a92d3, 0xc81a596eb0536e8e, 0xc8cab68832353603,
            0xc9aa2b37df6204b1, 0xcd77afe309d526ae, 0xd12ba3fcb3d42f8e, 0xd4b26d14d7902f85,
            0xd6ce378bfd0696b7, 0xd736192db2408d0b, 0xd82fa5726051b142, 0xd8f2d52e53aceb80,
            0xd96c2d5c25c9e9e4, 0xda76e67d22ffde70, 0xdae61f7bb4941a3b, 0xdf679bf7fbe38896,
            0xdfdc8d5eb5b2c1fc, 0xe7973e05310a02d9, 0xe888c492756e63ac, 0xe9251cc11c4b532c,
            0xe9ecca627d2ebb0e, 0xef03bd7cc8114e63, 0xefa9e1401e33e066, 0xf28dd7a014f100ef,
            0xf7c7fe1348d2156c, 0xfb09af7b38a26acf, 0xfc079b3a42e8a286, 0xfcb4b8425dcbfaeb
        ]
    ),
    // Qwen-Qwen3-0.6B
    (
        .chatMLThinking,
        [
            0x2bfdb7aa9754484e
        ]
    ),
    (
        .llama3(),
        [
            0x0e60067a5537498e, 0x32844fd43eab01d2, 0x397a90bda36895b7, 0x428b477f7e98e9f5,
            0x60b6f54caafc7e66, 0x74891e390e614ae2, 0xb2fee94e6b7a1639, 0xe819536b76735683
        ]
    ),
    // meta-llama-Llama-3.1-8B-Instruct
    // meta-llama-Llama-3.2-3B-Instruct
    // meta-llama-Llama-3.3-70B-Instruct
    (
        .llama3(systemPreamble: datePreamble),
        [
            0x368f4c34b8554414, 0xcc0368e1ffb6b958
        ]
    )
]

/// What Llama 3.1 and later begin a conversation with, and the date that their templates write
/// when they are told none.
private let datePreamble =
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
