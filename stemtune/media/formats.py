"""Which containers and codecs ffmpeg may read here: those of cameras, screens, editing and the web.

ffmpeg knows 370 containers and 304 video decoders, many of them for old games. Each one that is
left out is one less through which a crafted file can attack the process.
"""

# Names of ffmpeg's demuxers.
_CONTAINERS = (
    # Videos.
    "asf av1 avi cavsvideo cine dhav dirac dnxhd dv evc flic flv gxf h261 h263 h264 hevc ifv ivf "
    "ivr live_flv m4v matroska mjpeg mjpeg_2000 mov mpeg mpegts mpegvideo mpjpeg mxf nsv nut nuv "
    "obu ogg pva rm swf vc1 vvc webm wtv yuv4mpegpipe "
    # Pictures that `stills` leaves to ffmpeg.
    "dds_pipe dpx_pipe exr_pipe hdr_pipe pam_pipe pcx_pipe pfm_pipe phm_pipe psd_pipe qoi_pipe "
    "sgi_pipe sunrast_pipe xbm_pipe xpm_pipe"
)
# Names of ffmpeg's decoders.
_DECODERS = (
    # Of cameras, broadcasts and the web.
    "amv av1 cavs dirac flv h261 h263 h263i h263p h264 hevc libdav1d libvpx libvpx-vp9 mjpeg "
    "mjpegb mpeg1video mpeg2video mpeg4 mpegvideo msmpeg4 msmpeg4v1 msmpeg4v2 mxpeg rv10 "
    "rv20 rv30 rv40 snow sp5x svq1 svq3 theora vc1 vc1image vp3 vp4 vp5 vp6 vp6a vp6f vp7 vp8 vp9 "
    "vvc wmv1 wmv2 wmv3 wmv3image "
    # Of editing.
    "aic apv avrp avui cfhd cllc dnxhd dvvideo dxv ffv1 ffvhuff fraps hap hq_hqa hqx huffyuv "
    "jpeg2000 jpegls lagarith magicyuv media100 notchlc pixlet prores prores_raw sheervideo "
    "speedhq utvideo vble ylc "
    # Raw samples.
    "012v bitpacked r10k r210 rawvideo v210 v210x v308 v408 v410 wrapped_avframe y41p yuv4 "
    # Of screens and of systems of the nineties.
    "8bps aasc asv1 asv2 camstudio camtasia cinepak cljr cyuv flashsv flashsv2 flic fmvc g2m "
    "indeo2 indeo3 indeo4 indeo5 loco mscc msrle mss1 mss2 msvideo1 mszh mts2 nuv qtrle rpza rscc "
    "screenpresso scpr smc srgc tdsc tscc2 vmnc wcmv zerocodec zlib zmbv "
    # Pictures, some of which stand in a video.
    "bmp dds dpx exr gif hdr pam pcx pfm phm png psd qoi sgi sunrast targa tiff webp xbm xpm"
)

CONTAINERS, DECODERS = frozenset(_CONTAINERS.split()), frozenset(_DECODERS.split())
