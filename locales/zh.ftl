## Numbers

bytes = { $count } 字节
parameters-thousand = { $count }K 参数
parameters-million = { $count }M 参数
parameters-billion = { $count }B 参数
seconds-left = 还需 { $seconds } 秒
minutes-left = 还需 { $minutes } 分钟
hours-left = 还需 { $hours } 小时
percent = { $value }%
images = { $count } 张图片

## Tabs

classify = 分类
train = 训练
library = 图库
evaluate = 评测
tab-running = 训练中
tab-paused = 已暂停
tabs = 功能

## Header and footer

footer = CLIP 把图片和文字提示放在一起比较，给标签排出先后，事先不用为这些标签做任何训练，这就是零样本分类。本页用 Rust 编写，靠 WebAssembly 和 WebGPU 运行，不需要服务器。
title = 浏览器里的 CLIP
promise-what = 放一张图片，写几个标签，看看哪个最贴切。
promise-local = 图片不会上传
promise-where = ，一切都在你自己的 GPU 或 CPU 上运行。
dark-theme = 深色主题
toggle-dark-theme = 切换深色主题
change-language = 切换语言

## Device and progress

not-running = 没有运行
loading-cancelled = 已取消加载
running = 运行中
running-on = 运行于{" "}
device-reason = （{ $reason }）
starting = 正在启动…
preparing-cpu = 正在准备 CPU…
looking-for-gpu = 正在查找 GPU…
loading-model-of = 正在加载模型：{ $done }，共 { $total }
loading-model-so-far = 正在加载模型：{ $done }
loading-model = 正在加载模型…
warming-up = 正在预热，首次运行稍慢…
cancelling = 正在取消…
encoding-prompts-of = 正在编码提示：{ $done }/{ $total }
encoding-prompts = 正在编码提示…
images-left = 还剩{ $images }
model-facts = { $name } · { $parameters } · { $bytes } · { $precision } 权重 · 输入 { $width } × { $height } 像素
model-independent = {" "}· 各标签概率相互独立
model-and-device = 模型与设备
resume = 继续
load-the-model = 加载模型
stop-now = 立即停止
cancel = 取消
int8-help = CPU 上更快，但精度略低，概率可能相差百分之几。训练时请关闭。
int8 = 8 位权重（更快）
device = 设备
progress = 进度
try-again = 重试
use-bundled = 改用内置模型
use-cpu = 改用 CPU
auto = 自动
gpu-did-not-work = GPU 无法正常工作：{ $error }
worker-restarted = 后台程序崩溃（{ $error }），已自动重启，无需操作。
gpu-failed-twice = GPU 两次出错
gpu-failed-now-cpu = GPU 两次出错（{ $error }），现已改用 CPU，速度较慢但更稳定。要再试 GPU，请在“设备”中选“GPU”。
advice-connection = 请检查网络后重试；仍不行就刷新页面。
advice-memory = 请关闭其他占内存的标签页，移除特别大的图片，然后重试。
advice-gpu = 请在“设备”中选“CPU”，或关闭其他占用 GPU 的标签页后重试。
worker-did-not-start = 无法启动
worker-crashed-twice = 一分钟内两次崩溃
worker-failed = 后台程序{ $what }（{ $error }）。{ $advice }
no-reason-given = 未说明原因
worker-version = 页面与后台程序版本不一致，可能是浏览器缓存了旧文件（{ $error }）。请刷新页面。
worker-message-unreadable = 它发来的一条消息无法读取
worker-script-not-loaded = 程序文件无法加载
worker-not-started = 浏览器无法启动后台程序（{ $error }）。请刷新页面，或换用新版 Chrome、Edge、Firefox 或 Safari。

## Adding images

add-more-images = 添加更多图片
drop-anywhere = 把图片拖到页面任意处
add-an-image = 添加图片
choose-images = 选择图片
use-camera = 打开摄像头
choose-video = 选择视频
or-paste = 或按{" "}
drop-or-paste = 拖入图片，或按{" "}
formats-help = 支持 PNG、JPEG、WebP、GIF、BMP、TIFF；浏览器能读的话也支持 AVIF 和 HEIC。图片不会离开本机。
add-sample = 添加示例图片：{ $image }
try-a-sample = 手边没有图片？试试示例
samples = 示例
sample-images = 示例图片
dropped-a-link = 拖入的是链接，不是图片文件。请先保存图片再拖入，或复制图片后在此粘贴。
drop-to-add = 松开即可添加
choose-folder = 选择文件夹
choose-files-or-zip = 选择文件或 zip
file-too-large = 文件超过 100 MB，请换一张小一些的图片。
file-unreadable = 文件无法读取：可能是文件夹，或已被移动或修改。请重新添加。
file-moved = 文件无法读取，可能已被移动或修改，请重新添加
sample-not-loaded = 示例图片无法加载（{ $error }）。请检查网络后重试，或使用自己的图片。
download-blocked = 浏览器拦截了下载。请检查下载设置后重试。

## Labels

label-known = “{"{"}label{"}"}”已在列表中。
labels-known = 其中 { $count } 个已在列表中。
default-labels = 猫，狗，鸟，马，鱼，蝴蝶，花，树，山，海滩，房子，桥，汽车，自行车，飞机，轮船，披萨，苹果，咖啡，鞋子
labels = 标签
copy-link-help = 生成链接，打开后即为当前的标签、提示模板和模型
copy-link = 复制链接
clear-all = 全部清除
add-a-label = 添加标签
add = 添加
labels-help = 任何词语都可以。按回车或逗号添加，也可以粘贴一串标签。
no-labels = 至少添加一个标签才能分类。
one-label = 只有一个标签时概率总是 100%，再加一个才能比较。
remove-label = 移除标签 { $name }
remove = 移除
suggest-labels = 推荐标签
model-without-chinese = 这个模型不太懂中文，请用英文标签和英文提示模板。

## Prompt templates

template-empty = 请输入提示模板，标签的位置写 {"{"}label{"}"}。
template-lower-case = {"{"}label{"}"} 请用小写。
template-without-label = 缺少 {"{"}label{"}"}：请写在标签的位置，例如“一张{"{"}label{"}"}的素描”
templates-averaged = { $count } 个模板取平均
prompt-templates = 提示模板
quoted = “{ $text }”
templates-help-before = CLIP 比较的是图片和文字提示。每个标签会代入{" "}
templates-help-after = {" "}的位置。多个模板的嵌入取平均，往往更准。
add-template = 添加提示模板
template-example = 一张{"{"}label{"}"}的素描
no-template = 未选模板，直接使用标签本身。
use-template = 使用模板 { $template }
custom-template = 自定义提示模板
remove-template = 移除模板 { $template }

## Answers

none-fits-said = { $name }：没有合适的标签。
answer-said = { $name }：{ $label }，{ $percent }。
classified = 已分类{ $images }。{ $answers }
results = 结果
show-cosine = 显示余弦相似度
say-when-none-fits = 都不合适时提示
download-results-csv = 下载结果 (CSV)
download-results-json = 下载结果 (JSON)
remove-all = 全部移除
click-a-label = 点击标签，可看它对应图中何处。
independent-help = 这个模型分别给出每个标签的概率，加起来不等于 100%。
fits-by-probability = 某个标签的概率达到此值，才算合适。
fits-by-share = 与约 1400 个日常词语一起比较，这些标签合计占到此比例，才算合适。
least-fit = 合适的下限
cancelled = 已取消。
waiting-no-model = 等待中：尚未加载模型。
waiting-for-model = 等待模型加载…
queued = 排队中…
encoding-image = 正在编码图片…
encoded-no-label = 已编码。添加标签即可分类。
cancelled-before = 分类前已取消。
comparing = 正在与标签比较…
pixels = { $width } × { $height } 像素
timing = 预处理 { $preprocess }，编码 { $encode }，设备：{ $device }
try-image-again = 重试 { $name }
remove-image = 移除 { $name }
labels-for = { $name } 的标签，按概率从高到低
show-top = 只看前 { $FOLDED } 个
show-all-labels = 显示全部 { $total } 个
looking-for = 正在定位“{ $label }”…
where-it-fits = “{ $label }”对应的位置。最匹配处距左边 { $x }%，距上边 { $y }%。
not-located = 无法定位“{ $label }”：{ $error }。
less = 低
more = 高
save-png = 保存 PNG
show-where = 在图中定位
cosine-of-image-and-label = 图片与标签的余弦相似度
cosine-before = 余弦相似度{" "}
probability = 概率
none-fits = 都不太合适（{ $fit }），最接近的是“{ $closest }”。
worker-crashed-on-image = 后台程序处理这张图片时崩溃（{ $error }），其他图片不受影响。
images-from = 从第 { $number } 张开始的图片

## Messages

messages = 消息
dismiss-message = 关闭这条消息
dismiss = 关闭
heat-map-not-saved = 热力图无法保存：{ $error }。
link-without-model = {" "}链接不含你的模型，对方需要自备。
link-copied = 链接已复制。打开即为这些标签、模板和模型，不含图片。
copy-this-link = 请复制此链接：{ $address }{ $without_model }
link-not-made = 无法生成链接：浏览器没有提供页面地址。
no-safetensors = 其中没有 .safetensors 文件。请选择该格式的权重；模型若有 config.json 或 open_clip_config.json，请一并选上。

## Models

bundled-scope = 内置模型认识照片中约 450 种、图画和表情符号中约 1900 种常见事物，中英文名称都可以。下面的公开模型认识得多得多：
model-of-the-link = 链接指定的模型
linked-model = 这个链接用的是另一个模型，换用当前模型结果可能不同。
load-linked = 加载 { $name }
load-linked-bytes = 加载 { $name }，下载 { $bytes }
what-bundled-covers = 内置模型认识哪些事物
recommended-model = { $name }：下载 { $bytes }，{ $merit }
model = 模型
back-to-bundled = 换回内置模型
source-bundled = 内置：常见事物
source-files = 你的文件
published-facts = { $bytes } · { $parameters }M 参数 · 输入 { $pixels } 像素
imagenet-source = ImageNet 零样本 top-1 准确率，来源：{ $source }
small-download = {" "}体积小
best-for-its-size = {" "}同级最佳
load-name = 加载 { $name }
in-use = 使用中
load = 加载
published-models = 公开模型
special-models = 专用模型
other-models = 其他 CLIP 模型
model-input = Hugging Face 模型名，或 .safetensors 文件、文件夹的网址
model-input-example = 所有者/名称，或 https://…/model.safetensors
choose-model-files = 选择模型文件
or-drop-model = 或把文件、文件夹拖到页面任意处。
activation = 没有配置文件时的激活函数
automatic = 自动
quick-gelu = QuickGELU（OpenAI）
gelu = GELU（其他多数模型）
bytes-so-far = 已下载 { $bytes }
resume-download = 继续下载
delete-name = 删除 { $name }
delete = 删除
downloaded-models = 已下载的模型
downloaded-help = 模型存放在浏览器中，离线也能加载。删除后释放空间。

## Texts of the engine and the catalogue, which are in English; `foreign` finds them

foreign-cpu-one = CPU（单线程{ $how }）
foreign-cpu = CPU（{ $threads } 线程{ $how }）
foreign-simd = ，SIMD
foreign-chosen = 由你选择
foreign-gpu-unusable = GPU 无法使用：{ $reason }
foreign-no-webgpu = 此浏览器不支持或未启用 WebGPU
foreign-no-gpu = WebGPU 没有找到 GPU
foreign-emulated = 只有软件模拟的 GPU（{ $name }）
foreign-gpu-not-opened = GPU 无法打开（{ $error }）
foreign-purpose-chinese = 中文标签
foreign-purpose-clothes = 服装、鞋和配饰
foreign-purpose-species = 动物、植物和真菌的物种
foreign-purpose-street = 街景照片的拍摄地点
foreign-purpose = 用于{ $purpose }
